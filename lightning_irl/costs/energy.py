"""The energy c/T: what chains, estimators of log Z, regularisers and views score samples by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.samples import Samples, pieces

CostFunction = Callable[..., Tensor]  # samples (B, *shape) -> c (B,), in nats


@dataclass(frozen=True)
class Energy:
    """c/T as a function of samples, with what the cost knows about itself.

    To change an energy, use its methods rather than a function around it, which would hide :meth:`relative` and
    :attr:`reference`.

    Attributes:
        cost: c: a :class:`~lightning_irl.costs.Cost`, another energy, or any function of samples (B, *shape) to (B,).
        temperature: T.

    Example:
        >>> energy = Energy(lambda x: x.sum(-1), temperature=2.0)
        >>> energy(torch.tensor([[1.0, 3.0]]))
        tensor([2.])
    """

    cost: CostFunction
    temperature: float = 1.0

    def __call__(self, samples: Samples) -> Tensor:
        """c/T of samples (B, *shape), in at least single precision; (B,), in nats."""
        return self._over_temperature(self.cost(samples))

    def relative(self, samples: Samples, sampler: Sampler, log_q: Tensor) -> Tensor:
        """c/T of samples whose log q (B,) under a sampler is known; (B,), in nats.

        A cost that is defined relative to that sampler (:meth:`lightning_irl.costs.Cost.relative`) uses this log q and
        does not score the samples again.
        """
        relative = getattr(self.cost, "relative", None)
        return self._over_temperature(self.cost(samples) if relative is None else relative(samples, sampler, log_q))

    def log_weights(self, samples: Samples, sampler: Sampler, log_q: Tensor) -> Tensor:
        """Log importance weights -c/T - log q (B,) of samples with a known log q (B,); float64, in nats."""
        return -self.relative(samples, sampler, log_q).to(torch.float64) - log_q.to(torch.float64)

    def learned(self, samples: Samples) -> Tensor:
        """The trainable part of c/T (:meth:`lightning_irl.costs.Cost.learned`); (B,), in nats."""
        return self._over_temperature(getattr(self.cost, "learned", self.cost)(samples))

    @property
    def reference(self) -> Sampler | None:
        """The frozen sampler to which the cost is relative, if any."""
        return getattr(self.cost, "reference", None)

    def in_pieces(self, samples: Samples, size: int) -> Tensor:
        """c/T of samples (B, *shape), at most ``size`` of them at once; (B,), float64, in nats."""
        return torch.cat([self(part).double() for part in pieces(samples, size)])

    def at(self, temperature: float) -> Energy:
        """The energy divided by a further temperature."""
        return self if temperature == 1 else Energy(self, temperature)

    def tensors(self) -> Iterator[Tensor]:
        """Parameters and floating-point buffers of the cost: where, and in which precision, it computes."""
        return _tensors_of(self.cost)

    def _over_temperature(self, cost: Tensor) -> Tensor:
        cost = cost if cost.dtype in (torch.float32, torch.float64) else cost.float()
        return cost if self.temperature == 1 else cost / self.temperature


def as_energy(cost: CostFunction) -> Energy:
    """Any cost as an energy: an :class:`Energy` is returned as it is, another function is taken to be c/T already.

    Raises:
        ValueError: if it cannot be called.
    """
    if not callable(cost):
        raise ValueError(f"cost is {cost!r}; give a function of samples (B, *shape) to (B,), such as a Cost")
    return cost if isinstance(cost, Energy) else Energy(cost)


def _tensors_of(function: Any) -> Iterator[Tensor]:
    """Tensors of the module that a function is, whose method it is, or that it has as its ``cost``."""
    owner = getattr(function, "__self__", function)
    if not isinstance(owner, nn.Module):
        inside = getattr(owner, "cost", None)
        return iter(()) if inside is None else _tensors_of(inside)
    return chain(owner.parameters(), (buffer for buffer in owner.buffers() if buffer.is_floating_point()))
