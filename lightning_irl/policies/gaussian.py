"""Continuous actions: Gaussian, clipped at bounds, or squashed into them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_irl.event import Event
from lightning_irl.policies.network import NetworkPolicy

LOG_SQRT_2_PI = 0.5 * math.log(2 * math.pi)


class GaussianPolicy(NetworkPolicy):
    """Independent Gaussian coordinates; the standard deviation is learned, the same for all observations unless asked otherwise.

    Args:
        event: of the trajectories, without atoms at bounds.
        initial_std: standard deviation at the start, in units of the action, over half the range where there are bounds.
        std_sees_observation: let the network give the standard deviation too.
        **network: of :class:`~lightning_irl.policies.network.NetworkPolicy`.
    """

    base_measures: tuple[str, ...] = ("lebesgue",)
    has_rsample = True
    centre: Tensor
    reach: Tensor

    def __init__(
        self, event: Event, initial_std: float = 0.5, std_sees_observation: bool = False, **network: Any
    ) -> None:
        if not initial_std > 0:
            raise ValueError(f"initial_std is {initial_std}; it must be above 0")
        size = math.prod(event.get("action_shape", [1]))
        super().__init__(event, size * (2 if std_sees_observation else 1), **network)
        self.std_sees_observation = std_sees_observation
        self.log_std = nn.Parameter(torch.full((size,), math.log(initial_std)))
        low, high = torch.tensor(event["action_low"]), torch.tensor(event["action_high"])
        bounded = len(low) > 0
        self.register_buffer("centre", (low + high) / 2 if bounded else torch.zeros(size))
        self.register_buffer("reach", (high - low) / 2 if bounded else torch.ones(size))

    def moments(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation (..., d), both in units in which bounds are -1 and 1."""
        found = self.outputs(observation, time)
        if not self.std_sees_observation:
            return found, self.log_std
        mean, log_std = found.chunk(2, -1)
        return mean, self.log_std + log_std

    def draw(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """A draw in those units (..., d), differentiable, and its log density in units of the action (...)."""
        mean, log_std = self.moments(observation, time)
        noise = torch.randn_like(mean)
        log_density = -noise.square() / 2 - log_std - LOG_SQRT_2_PI - self.reach.log()
        return mean + log_std.exp() * noise, log_density.sum(-1)

    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return self.rsample(observation, time)

    def rsample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        standard, log_pi = self.draw(observation, time)
        return self.to_action(standard, time), log_pi

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        mean, log_std = self.moments(observation, time)
        noise = (self.to_standard(action, time) - mean) * (-log_std).exp()
        return (-noise.square() / 2 - log_std - LOG_SQRT_2_PI - self.reach.log()).sum(-1)

    def mode(self, observation: Tensor, time: Tensor) -> Tensor:
        with torch.no_grad():
            return self.to_action(self.moments(observation, time)[0], time)

    def to_action(self, standard: Tensor, time: Tensor) -> Tensor:
        """Actions (..., *act) from coordinates (..., d) in which bounds are -1 and 1."""
        return (self.centre + self.reach * standard).reshape(*time.shape, *self.action_shape)

    def to_standard(self, action: Tensor, time: Tensor) -> Tensor:
        """The inverse of :meth:`to_action`."""
        return (action.flatten(time.ndim) - self.centre) / self.reach


class ClippedGaussianPolicy(GaussianPolicy):
    """A Gaussian whose draws are clipped to the bounds, as environments do: a density inside, an atom at each bound.

    What lies beyond a bound has the tail's probability, in log by ``log_ndtr``, exact far out. Draws have no pathwise gradient: a
    path stops at the bound while the atom's probability moves.

    Args:
        event: of the trajectories, with base measure ``clipped``.
        **options: of :class:`GaussianPolicy`.
    """

    base_measures = ("clipped",)
    has_rsample = False

    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            mean, log_std = self.moments(observation, time)
            standard = (mean + log_std.exp() * torch.randn_like(mean)).clamp(-1, 1)
            return self.to_action(standard, time), self._log_prob(mean, log_std, standard)

    def rsample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("policy ClippedGaussianPolicy has atoms at the bounds, so no pathwise gradient")

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        return self._log_prob(*self.moments(observation, time), self.to_standard(action, time))

    def _log_prob(self, mean: Tensor, log_std: Tensor, standard: Tensor) -> Tensor:
        noise = (standard - mean) * (-log_std).exp()
        inside = -noise.square() / 2 - log_std - LOG_SQRT_2_PI - self.reach.log()
        is_atom = standard.abs() >= 1
        # the probability beyond the bound; elsewhere a harmless argument, so that no gradient is infinite
        beyond = torch.special.log_ndtr(torch.where(is_atom, -noise * standard.sign(), 0.0))
        return torch.where(is_atom, beyond, inside).sum(-1)

    def to_action(self, standard: Tensor, time: Tensor) -> Tensor:
        return super().to_action(standard.clamp(-1, 1), time)


class TanhGaussianPolicy(GaussianPolicy):
    """A Gaussian squashed by tanh into the open box between the bounds (Haarnoja et al. 2018, arXiv 1801.01290).

    An action exactly on a bound has no density here: demonstrations that hold such need base measure ``clipped``. The mode is that
    of the Gaussian before squashing.

    Args:
        event: of the trajectories, with bounds and base measure ``lebesgue``.
        **options: of :class:`GaussianPolicy`.

    Raises:
        ValueError: if the event has no bounds.
    """

    def __init__(self, event: Event, **options: Any) -> None:
        super().__init__(event, **options)
        if not event["action_low"]:
            raise ValueError("TanhGaussianPolicy needs bounds, but the event's actions have none; use GaussianPolicy")

    def rsample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        free, log_pi = self.draw(observation, time)
        return self.to_action(free, time), log_pi - self._log_det(free)

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        return super().log_prob(observation, action, time) - self._log_det(self.to_standard(action, time))

    @staticmethod
    def _log_det(free: Tensor) -> Tensor:
        """log |d tanh(x) / dx| summed over coordinates, without cancellation."""
        return (2 * (math.log(2) - free - softplus(-2 * free))).sum(-1)

    def to_action(self, standard: Tensor, time: Tensor) -> Tensor:
        return super().to_action(standard.tanh(), time)

    def to_standard(self, action: Tensor, time: Tensor) -> Tensor:
        return super().to_standard(action, time).atanh()
