"""Uniformly random actions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_irl.policies.base import Policy
from lightning_irl.spaces.event import Event


class UniformPolicy(Policy):
    """Uniform over the discrete actions, or between the bounds of continuous ones.

    Args:
        event: of the trajectories.

    Raises:
        ValueError: if continuous actions have no bounds.
    """

    base_measures = ("counting", "clipped", "lebesgue")
    low: Tensor
    high: Tensor

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        actions = self.space.actions
        low, high = actions.low, actions.high
        if not actions.has_uniform:
            raise ValueError(
                "UniformPolicy needs bounds, but the event's actions lack some; give finite action_low and action_high"
            )
        self.num_actions: int = actions.number
        self.register_buffer("low", torch.tensor(low).reshape(self.action_shape if low else 0))
        self.register_buffer("high", torch.tensor(high).reshape(self.action_shape if high else 0))
        volume: float = math.prod(b - a for a, b in zip(low, high, strict=True))  # 1 without bounds
        volume = self.num_actions or volume
        self.log_density = -math.log(volume)

    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        log_pi = torch.full(time.shape, self.log_density, dtype=observation.dtype, device=observation.device)
        if self.num_actions:
            return torch.randint(self.num_actions, time.shape, device=observation.device), log_pi
        unit = torch.rand(*time.shape, *self.action_shape, dtype=observation.dtype, device=observation.device)
        return self.low + (self.high - self.low) * unit, log_pi

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        """Constant inside the bounds; minus infinity outside and on a bound's atom, which is never drawn."""
        log_pi = torch.full(time.shape, self.log_density, dtype=observation.dtype, device=observation.device)
        if self.num_actions:
            return log_pi
        inside = ((action > self.low) & (action < self.high)).flatten(time.ndim).all(-1)
        return torch.where(inside, log_pi, -torch.inf)

    def mode(self, observation: Tensor, time: Tensor) -> Tensor:
        """A draw, as all actions are equally likely."""
        return self.sample(observation, time)[0]
