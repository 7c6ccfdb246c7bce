"""Continuous actions: Gaussian, clipped at bounds, or squashed into them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from lightning_irl.policies.network import NetworkPolicy
from lightning_irl.spaces.action_space import ActionSpace
from lightning_irl.spaces.event import Event

LOG_SQRT_2_PI = 0.5 * math.log(2 * math.pi)


class GaussianPolicy(NetworkPolicy):
    """Independent Gaussian coordinates with a learned standard deviation, by default the same for all observations.

    Args:
        event: of the trajectories, without atoms at bounds.
        initial_std: standard deviation at the start, in units of half the range between the bounds; of the action
            without bounds.
        std_sees_observation: let the network give the standard deviation too.
        **network: of :class:`~lightning_irl.policies.network.NetworkPolicy`.

    Raises:
        ValueError: if ``initial_std`` is not above 0.

    Example:
        >>> from lightning_irl.spaces.event import make_trajectory_event
        >>> policy = GaussianPolicy(make_trajectory_event(5, [3], action_shape=[2]))
        >>> action, log_pi = policy.sample(torch.zeros(7, 3), torch.zeros(7, dtype=torch.long))
        >>> action.shape, log_pi.shape
        (torch.Size([7, 2]), torch.Size([7]))
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
        size = self.space_of(event).actions.size
        super().__init__(event, size * (2 if std_sees_observation else 1), **network)
        self.std_sees_observation = std_sees_observation
        self.log_std = nn.Parameter(torch.full((size,), math.log(initial_std)))
        units = self.space.actions.units(size)
        self.register_buffer("centre", units.centre)
        self.register_buffer("reach", units.reach)

    def moments(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation (..., d), both in units in which bounds are -1 and 1."""
        found = self.outputs(observation, time)
        if not self.std_sees_observation:
            return found, self.log_std
        mean, log_std = found.chunk(2, -1)
        return mean, self.log_std + log_std

    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return self.rsample(observation, time)

    def rsample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.moments(observation, time)
        noise = torch.randn_like(mean)
        log_pi = -noise.square() / 2 - log_std - LOG_SQRT_2_PI - self.reach.log()
        return self.to_action(mean + log_std.exp() * noise, time), log_pi.sum(-1)

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


def nearly_one(actions: ActionSpace) -> Tensor:
    """Per coordinate (d,), the absolute value from which on an action counts as on its bound, in units in which bounds
    are -1 and 1: bounds are rounded in single precision.
    """
    centre, reach, *_ = actions.units(len(actions.low))
    bounds = zip((centre - reach).tolist(), (centre + reach).tolist(), strict=True)
    if actions.has_bounds:
        bounds = zip(actions.low, actions.high, strict=True)
    rounding = [1 + 2 * max(abs(low), abs(high)) / (high - low) for low, high in bounds]
    return 1 - 4 * torch.finfo(torch.float32).eps * torch.tensor(rounding)


class ClippedGaussianPolicy(GaussianPolicy):
    r"""A Gaussian whose draws are clipped to the bounds, as environments do: a density inside, an atom at each bound.

    A coordinate may have one bound, or none. The atom at a bound b has the probability :math:`P_b` of the tail beyond
    it, computed by ``log_ndtr``, which is accurate far out.

    The pathwise gradient of a clipped draw is right for expectations of functions that are continuous in the action.
    log pi is not: at the bound it jumps from the log density to the log probability of the atom, and with :math:`F(a) =
    \log \pi(a)`

    .. math:: \nabla E[F] = E[\nabla F] + \sum_b (\log P_b - \log \pi(b^-)) \nabla P_b.

    :meth:`rsample` adds the sum's gradient to that of log pi, and nothing to its value. So its gradient is that of any
    objective linear in log pi with a cost that is continuous in the action, such as E[c] + E[log pi].

    Args:
        event: of the trajectories, with base measure ``clipped``.
        **options: of :class:`GaussianPolicy`.
    """

    base_measures = ("clipped",)
    edge: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, event: Event, **options: Any) -> None:
        super().__init__(event, **options)
        units = self.space.actions.units(self.action_size)
        self.register_buffer("low", units.low, persistent=False)
        self.register_buffer("high", units.high, persistent=False)
        self.register_buffer("edge", nearly_one(self.space.actions), persistent=False)

    def rsample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.moments(observation, time)
        standard = (mean + log_std.exp() * torch.randn_like(mean)).clamp(self.low, self.high)
        log_pi = self._log_prob(mean, log_std, standard)
        if torch.is_grad_enabled():
            log_pi = log_pi + self._jumps(mean, log_std)
        return self.to_action(standard, time), log_pi

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        """Differentiable in the parameters; actions beyond a bound are scored as on it, where they are applied."""
        standard = self.to_standard(action, time).clamp(self.low, self.high)
        return self._log_prob(*self.moments(observation, time), standard)

    def _log_density(self, noise: Tensor, log_std: Tensor) -> Tensor:
        return -noise.square() / 2 - log_std - LOG_SQRT_2_PI - self.reach.log()

    def _log_prob(self, mean: Tensor, log_std: Tensor, standard: Tensor) -> Tensor:
        noise = (standard - mean) * (-log_std).exp()
        is_atom = (standard.abs() >= self.edge) & torch.isfinite(torch.where(standard < 0, self.low, self.high))
        # elsewhere a harmless argument, so that no gradient is infinite
        beyond = torch.special.log_ndtr(torch.where(is_atom, -noise * standard.sign(), 0.0))
        return torch.where(is_atom, beyond, self._log_density(noise, log_std)).sum(-1)

    def _jumps(self, mean: Tensor, log_std: Tensor) -> Tensor:
        """Zeros (...), with the gradient of the probabilities of the atoms times the jump of log pi onto them."""
        total = torch.zeros_like(mean)
        for sign in (-1, 1):
            noise = (1 - sign * mean) * (-log_std).exp()  # of the bound, outwards
            log_atom = torch.special.log_ndtr(-noise)
            jump = log_atom - self._log_density(noise, log_std)
            atom = log_atom.exp()
            is_bound = torch.isfinite(self.low if sign < 0 else self.high)
            total = total + torch.where(is_bound, jump.detach() * (atom - atom.detach()), 0.0)
        return total.sum(-1)

    def to_action(self, standard: Tensor, time: Tensor) -> Tensor:
        return super().to_action(standard.clamp(self.low, self.high), time)


class TanhGaussianPolicy(GaussianPolicy):
    """A Gaussian squashed by tanh into the open box between the bounds (Haarnoja et al. 2018, arXiv 1801.01290).

    An action on a bound would have an infinite logit, and has log pi = -inf. Draws keep about 1e-6 of the range from
    the bounds, as single precision resolves no less. The mode is that of the Gaussian before squashing.

    Args:
        event: of the trajectories, with bounds and base measure ``lebesgue``.
        **options: of :class:`GaussianPolicy`.

    Raises:
        ValueError: if the event has no bounds; or on scoring actions on a bound, if all steps have an action (no
            absorbing states) and the actions are on the CPU.
    """

    edge: Tensor

    def __init__(self, event: Event, **options: Any) -> None:
        super().__init__(event, **options)
        if not self.space.actions.has_bounds:
            raise ValueError(
                "TanhGaussianPolicy needs bounds on both sides, but the event's actions lack some; use "
                + ("ClippedGaussianPolicy" if self.space.actions.low else "GaussianPolicy")
            )
        self.register_buffer("edge", nearly_one(self.space.actions), persistent=False)

    def rsample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.moments(observation, time)
        free = self._inside(mean + log_std.exp() * torch.randn_like(mean))
        return self.to_action(free, time), self._log_prob(mean, log_std, free)

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        """Differentiable in the parameters; minus infinity on and beyond the bounds.

        Raises:
            ValueError: naming how many actions lie on a bound or beyond.
        """
        standard = self.to_standard(action, time)
        is_outside = (standard.abs() > (1 + self.edge) / 2).any(-1)
        if is_outside.device.type == "cpu" and not self.space.is_absorbing and is_outside.any():
            raise ValueError(
                f"{int(is_outside.sum())} of {is_outside.numel()} actions lie on a bound or beyond, where "
                "TanhGaussianPolicy has no "
                "density; set base_measure=clipped and use ClippedGaussianPolicy"
            )
        free = standard.clamp(-self.edge, self.edge).atanh()
        return torch.where(is_outside, -torch.inf, self._log_prob(*self.moments(observation, time), free))

    def _log_prob(self, mean: Tensor, log_std: Tensor, free: Tensor) -> Tensor:
        noise = (free - mean) * (-log_std).exp()
        log_det = 2 * (math.log(2) - free - softplus(-2 * free))  # log of 1 - tanh^2, without cancellation
        return (-noise.square() / 2 - log_std - LOG_SQRT_2_PI - self.reach.log() - log_det).sum(-1)

    def _inside(self, free: Tensor) -> Tensor:
        limit = self.edge.atanh()
        return free.clamp(-limit, limit)

    def to_action(self, standard: Tensor, time: Tensor) -> Tensor:
        return super().to_action(self._inside(standard).tanh(), time)
