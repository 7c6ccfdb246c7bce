"""What was asked of an event before there was a space: functions of :mod:`~lightning_irl.spaces.event` that a user's
own code may hold, and their answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_irl.spaces.action_space import ActionUnits
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import image_space, space_of, trajectory_space

__all__ = [
    "ActionUnits",
    "action_units",
    "dimension",
    "grey_levels",
    "has_bounds",
    "is_counted",
    "log_action_mass",
    "per_coordinate",
    "per_observation",
    "require_continuous",
]


def is_counted(event: Event) -> bool:
    """Whether samples are points or images of discrete levels, whose densities are probabilities."""
    return space_of(event).is_counted


def require_continuous(event: Event, what: str) -> None:
    """Refuse an event of discrete levels; see :meth:`~lightning_irl.spaces.space.Space.require_continuous`."""
    space_of(event).require_continuous(what)


def dimension(event: Event) -> int:
    """Number of coordinates of one sample."""
    return math.prod(event["shape"])


def per_coordinate(values: Sequence[float], event: Event) -> Tensor:
    """``location`` or ``scale`` of an event as a tensor of shape ``(d,)``, float32."""
    return torch.tensor(values, dtype=torch.float32).expand(dimension(event)).clone()


def per_observation(values: Sequence[float], event: Event) -> Tensor:
    """``observation_location`` or ``observation_scale`` as a tensor, one value per coordinate (flattened), float32."""
    return torch.tensor(values, dtype=torch.float32).expand(math.prod(event["observation_shape"])).clone()


def grey_levels(images: Tensor, event: Event) -> Tensor:
    """Images as served (B, C, H, W) in [0, 1]; see :meth:`~lightning_irl.spaces.space.ImageSpace.grey_levels`."""
    return image_space(event, "grey levels are of images; the event").grey_levels(images)


def has_bounds(event: Event) -> bool:
    """Whether every coordinate of a continuous action has two finite bounds."""
    return trajectory_space(event, "bounds are those of actions; the event").actions.has_bounds


def action_units(event: Event, size: int) -> ActionUnits:
    """Units for actions of so many coordinates."""
    return trajectory_space(event, "units are those of actions; the event").actions.units(size)


def log_action_mass(event: Event) -> float:
    """log of all actions' mass under a trajectory event's base measure, in nats; inf if unbounded."""
    return trajectory_space(event, "mass is that of actions; the event").actions.log_mass
