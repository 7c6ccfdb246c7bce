"""The geometric path between a sampler and the model, in coordinates on R^d."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lightning_irl.event import Event, require_continuous
from lightning_irl.partition.hmc import HMCState, LogDensity, gradient_at, gradients_enabled
from lightning_irl.samplers.base import Sampler
from lightning_irl.support import support_of

CostFunction = Callable[..., Tensor]  # samples to (B,)


class GeometricPath:
    r"""Densities between q and exp(-c), indexed by an inverse temperature beta from 0 to 1.

    .. math:: \log \pi_\beta(x) = (1 - \beta) \log q(x) - \beta c(x)

    Chains live on R^d: on a box, x goes through :func:`lightning_irl.support.support_of` and densities carry the
    log-determinant, so that integrals are the same.

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats.
        start: a sampler with a density.
        event: what a sample looks like; default the sampler's.

    Raises:
        ValueError: if the sampler has no density, or the event is one of discrete levels, where nothing has a gradient.
    """

    def __init__(self, cost: CostFunction, start: Sampler, event: Event | None = None) -> None:
        require_density(start)
        self.cost, self.start = cost, start
        self.event = start.event if event is None else event
        require_continuous(self.event, "an annealed path")
        self.shape = tuple(self.event["shape"])
        self.support = support_of(self.event)

    def draw_start(self, num_samples: int) -> Tensor:
        """Exact draws of q, free coordinates (B, d)."""
        with torch.no_grad():
            samples, _ = self.start.sample(num_samples)
        return self.to_free(samples)

    def to_free(self, samples: Tensor) -> Tensor:
        """Samples (B, *shape) as free coordinates (B, d)."""
        return self.support.unconstrain(samples.detach().reshape(len(samples), -1))[0]

    def to_samples(self, free: Tensor) -> Tensor:
        """Free coordinates (B, d) as samples (B, *shape)."""
        with torch.no_grad():
            return self.support.constrain(free)[0].reshape(len(free), *self.shape)

    def ends(self, free: Tensor) -> tuple[Tensor, Tensor]:
        """log q and -c in free coordinates, (B,) each."""
        samples, log_det = self.support.constrain(free)
        samples = samples.reshape(len(free), *self.shape)
        return self.start.log_prob(samples) + log_det, log_det - self.cost(samples)

    def log_density(self, beta: float) -> LogDensity:
        """The target at ``beta``: free (B, d) -> (B,)."""
        if beta >= 1:
            return self._model
        return lambda free: self._mix(beta, *self.ends(free))

    def _model(self, free: Tensor) -> Tensor:
        samples, log_det = self.support.constrain(free)
        return log_det - self.cost(samples.reshape(len(free), *self.shape))

    @staticmethod
    def _mix(beta: float, log_q: Tensor, log_model: Tensor) -> Tensor:
        return (1 - beta) * log_q + beta * log_model if beta > 0 else log_q

    def state(self, free: Tensor, beta: float) -> tuple[HMCState, Tensor]:
        r"""Chains at ``free`` ready to move at ``beta``, and the weight of the path there.

        Returns:
            The state, and :math:`d \log \pi_\beta / d\beta = -c - \log q` (B,), float64, from the same evaluation.
        """
        with gradients_enabled():
            position = free.clone().detach().requires_grad_(True)
            log_q, log_model = self.ends(position)
            value = self._mix(beta, log_q, log_model)
            gradient = gradient_at(value, position)
        slope = log_model.detach().to(torch.float64) - log_q.detach().to(torch.float64)
        return HMCState(position.detach(), value.detach(), gradient), slope


def require_density(sampler: Sampler) -> None:
    """Refuse a sampler whose log q is unknown.

    Raises:
        ValueError: naming the sampler.
    """
    if not sampler.has_density:
        raise ValueError(
            f"sampler {type(sampler).__name__} has no density; estimates of log Z from it need one: use a flow, "
            "or start annealed chains from lightning_irl.samplers.broad.BroadSampler"
        )
