"""Actions at random."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_irl.policies.base import Policy
from lightning_irl.spaces.event import Event, has_bounds


class UniformPolicy(Policy):
    """Every action alike: over the discrete actions, or between the bounds of the continuous ones.

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
        low, high = event["action_low"], event["action_high"]
        if not (event["num_actions"] or has_bounds(event)):
            raise ValueError(
                "UniformPolicy needs bounds, but the event's actions lack some; give finite action_low and action_high"
            )
        self.num_actions: int = event["num_actions"]
        self.register_buffer("low", torch.tensor(low).reshape(self.action_shape if low else 0))
        self.register_buffer("high", torch.tensor(high).reshape(self.action_shape if high else 0))
        volume = self.num_actions or math.prod(b - a for a, b in zip(low, high, strict=True))
        self.log_density = -math.log(volume)

    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        log_pi = torch.full(time.shape, self.log_density, dtype=observation.dtype, device=observation.device)
        if self.num_actions:
            return torch.randint(self.num_actions, time.shape, device=observation.device), log_pi
        unit = torch.rand(*time.shape, *self.action_shape, dtype=observation.dtype, device=observation.device)
        return self.low + (self.high - self.low) * unit, log_pi

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        """Constant inside; minus infinity on a bound's atom, which it never draws, and outside."""
        log_pi = torch.full(time.shape, self.log_density, dtype=observation.dtype, device=observation.device)
        if self.num_actions:
            return log_pi
        inside = ((action > self.low) & (action < self.high)).flatten(time.ndim).all(-1)
        return torch.where(inside, log_pi, -torch.inf)

    def mode(self, observation: Tensor, time: Tensor) -> Tensor:
        """A draw: no action is likelier than another."""
        return self.sample(observation, time)[0]
