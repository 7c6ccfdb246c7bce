"""A cost relative to a frozen copy of the sampler."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_irl.costs.base import Cost
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event


class TiltedCost(Cost):
    r"""c(x) = f(x) - log q_0(x): the model is the frozen sampler q_0, tilted by exp(-f).

    Without it a cost in many dimensions must first learn log q_0, which varies by tens of nats, before it can tell
    demonstrations apart from noise. With it the model starts near q_0's own likelihood, and log Z is easy to estimate
    from q_0's draws. f needs no quadratic anchor, as q_0 is integrable.

    With a ``bound`` the tilt is :math:`b \tanh(f / b)`: the ratio of the model's density to q_0 varies by at most a
    factor :math:`e^{2b}`. A network is trained only where demonstrations and draws are. Without a bound, a region that
    neither has visited can hold most of the model's mass; with one, importance weights are bounded, and so is the error
    of log Z. Where the bound saturates, f has no gradient, and its constant can drift there:
    :class:`~lightning_irl.regularisers.CostOffset` prevents that.

    The view hands over its sampler when it is built and again when the warm start ends; q_0 is a copy, saved with the
    cost.

    Args:
        event: what one sample looks like.
        cost: factory of f, called with the event.
        bound: b, in nats; None for no bound.

    Raises:
        ValueError: if the bound is not positive.
    """

    def __init__(self, event: Event, cost: Callable[[Event], Cost], bound: float | None = None) -> None:
        super().__init__(event)
        if bound is not None and bound <= 0:
            raise ValueError(f"TiltedCost bound is {bound}; it must be above 0 nats, or null for none")
        self.tilt, self.bound = cost(event), bound

    def start_from(self, sampler: Sampler) -> None:
        if not sampler.has_density:
            raise ValueError(
                f"TiltedCost is relative to a density; sampler {type(sampler).__name__} has none: use a flow"
            )
        self.reference = copy.deepcopy(sampler).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> TiltedCost:
        super().train(mode)
        if self.reference is not None:
            self.reference.eval()  # its density is a constant of the cost: nothing in it may be random
        return self

    def forward(self, samples: Tensor) -> Tensor:
        assert self.reference is not None
        return self.tilted(samples) - self.reference.log_prob(samples)

    def tilted(self, samples: Tensor) -> Tensor:
        """f, or its bounded form, at samples (B, *shape); (B,), in nats."""
        tilt: Tensor = self.tilt(samples)
        return tilt if self.bound is None else self.bound * torch.tanh(tilt / self.bound)

    def learned(self, samples: Tensor) -> Tensor:
        return self.tilt.learned(samples)

    def relative(self, samples: Tensor, sampler: Sampler, log_q: Tensor) -> Tensor:
        if sampler is not self.reference:
            return super().relative(samples, sampler, log_q)
        return self.tilted(samples) - log_q
