"""The energy of a view: its cost over its temperature."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_irl.costs.base import Cost
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.samples import Samples


@dataclass(frozen=True)
class Energy:
    """c/T, a function of samples.

    Attributes:
        cost: c.
        temperature: T.
    """

    cost: Cost
    temperature: float

    def __call__(self, samples: Samples) -> Tensor:
        """c/T of samples (B, *shape), at least in float32; (B,), in nats."""
        return self._over_temperature(self.cost(samples))

    def relative(self, samples: Samples, sampler: Sampler, log_q: Tensor) -> Tensor:
        """The same, given log q (B,) of the samples under a sampler."""
        return self._over_temperature(self.cost.relative(samples, sampler, log_q))

    def learned(self, samples: Samples) -> Tensor:
        """What of it learns (:meth:`lightning_irl.costs.Cost.learned`)."""
        return self._over_temperature(self.cost.learned(samples))

    @property
    def reference(self) -> Sampler | None:
        """The frozen sampler to which the cost is relative, if it is."""
        return self.cost.reference

    def _over_temperature(self, cost: Tensor) -> Tensor:
        cost = cost if cost.dtype in (torch.float32, torch.float64) else cost.float()
        return cost if self.temperature == 1 else cost / self.temperature
