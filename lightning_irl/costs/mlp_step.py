"""A perceptron's cost of a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_irl.costs.action_anchor import ActionAnchor
from lightning_irl.costs.step import StepCost
from lightning_irl.networks import mlp
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import trajectory_space

INPUTS = {  # which of observation, action and next observation
    "state": (True, False, False),
    "action": (False, True, False),
    "state_action": (True, True, False),
    "state_next": (True, False, True),
    "state_action_next": (True, True, True),
}
Inputs = Literal["state", "action", "state_action", "state_next", "state_action_next"]


class StepFeatures(nn.Module):
    """Network inputs of a step: standardised observations, actions scaled to [-1, 1] or one-hot, and the time.

    Args:
        event: of the trajectories.
        inputs: ``state``, ``action``, ``state_action``, ``state_next`` or ``state_action_next``.
        sees_time: add the share of the horizon that is left, between -1 and 1.

    Attributes:
        size: number of features.

    Raises:
        ValueError: if ``inputs`` is none of these.
    """

    location: Tensor
    scale: Tensor
    centre: Tensor
    reach: Tensor

    def __init__(self, event: Event, inputs: str = "state_action", sees_time: bool = False) -> None:
        super().__init__()
        if inputs not in INPUTS:
            raise ValueError(f"inputs is {inputs!r}; allowed: {', '.join(INPUTS)}")
        space = trajectory_space(event, "StepFeatures are of a step, but the data")
        self.kept, self.sees_time, self.horizon = INPUTS[inputs], sees_time, space.horizon
        self.num_actions = space.actions.number
        observation, action = space.observation_size, self.num_actions or space.actions.size
        self.size = sum(n for n, kept in zip((observation, action, observation), self.kept, strict=True) if kept)
        self.size += sees_time
        self.register_buffer("location", space.observation_location)
        self.register_buffer("scale", space.observation_scale)
        units = space.actions.units(action)
        self.register_buffer("centre", units.centre)
        self.register_buffer("reach", units.reach)

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        """Features (..., size); arguments as of :class:`~lightning_irl.costs.step.StepCost`."""
        parts = []
        if self.kept[0]:
            parts.append((observation.flatten(time.ndim) - self.location) / self.scale)
        if self.kept[1] and self.num_actions:
            actions = torch.arange(self.num_actions, device=action.device)
            parts.append((action[..., None] == actions).to(observation.dtype))
        elif self.kept[1]:
            parts.append((action.flatten(time.ndim) - self.centre) / self.reach)
        if self.kept[2]:
            parts.append((next_observation.flatten(time.ndim) - self.location) / self.scale)
        if self.sees_time:
            parts.append((1 - 2 * time.to(observation.dtype) / self.horizon)[..., None])
        return torch.cat(parts, -1) if len(parts) > 1 else parts[0]


class MLPStepCost(StepCost):
    """c(s, a, s') by a perceptron.

    Args:
        event: of the trajectories.
        hidden: sizes of the hidden layers.
        inputs: ``state_action``, ``state`` (a cost that transfers to other dynamics), ``action``, ``state_next`` or
            ``state_action_next``.
        sees_time: give the network the share of the horizon that is left.
        activation: between the layers.
        anchor: add the quadratic that makes exp(-c) integrable over unbounded actions.

    Raises:
        ValueError: if ``inputs`` is none of these.

    Example:
        >>> from lightning_irl.spaces.event import make_trajectory_event
        >>> cost = MLPStepCost(make_trajectory_event(5, [4], num_actions=2))
        >>> observations, time = torch.zeros(3, 5, 4), torch.arange(5).expand(3, 5)
        >>> cost(observations, torch.zeros(3, 5).long(), observations, time).shape
        torch.Size([3, 5])
    """

    def __init__(
        self,
        event: Event,
        hidden: Sequence[int] = (64, 64),
        inputs: Inputs = "state_action",
        sees_time: bool = False,
        activation: type[nn.Module] = nn.ReLU,
        anchor: bool = True,
    ) -> None:
        super().__init__(event)
        self.anchor = ActionAnchor(event, anchor)
        self.features = StepFeatures(event, inputs, sees_time)
        self.sees_actions = self.features.kept[1] or self.anchor.enabled
        self.network = mlp([self.features.size, *hidden, 1], activation)

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        cost = self.network(self.features(observation, action, next_observation, time)).squeeze(-1)
        return self.anchor(cost, action)
