"""The quadratic that makes exp(-c) integrable over unbounded actions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_irl.spaces.event import Event, action_units, has_bounds


class ActionAnchor(nn.Module):
    r"""Adds :math:`|a|^2 / 2` to the cost of a step, over the coordinates of a continuous action that lack a bound;
    zero otherwise.

    A network's cost falls at most linearly far out, so that with it the integral of exp(-c) over actions is finite. In
    the units of the action, for the event does not tell the scale of actions.

    Args:
        event: of the trajectories.
        enabled: whether to add it.
    """

    is_free: Tensor

    def __init__(self, event: Event, enabled: bool = True) -> None:
        super().__init__()
        self.enabled = enabled and not event["num_actions"] and not has_bounds(event)
        units = action_units(event, math.prod(event["action_shape"]))
        self.register_buffer("is_free", torch.isinf(units.low) | torch.isinf(units.high), persistent=False)

    def forward(self, cost: Tensor, action: Tensor) -> Tensor:
        """Costs (...) of actions (..., *act), anchored."""
        if not self.enabled:
            return cost
        return cost + torch.where(self.is_free, action.flatten(cost.ndim).square(), 0.0).sum(-1) / 2
