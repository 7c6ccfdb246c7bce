"""The quadratic that makes exp(-c) integrable over unbounded actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import trajectory_space


class ActionAnchor(nn.Module):
    r"""Adds :math:`|a|^2 / 2` to the cost of a step, over the coordinates of a continuous action that lack a bound;
    zero otherwise.

    A network's cost falls at most linearly, so the added square makes the integral of exp(-c) over actions finite. It
    is in the action's own units, as the event does not give a scale for actions.

    Args:
        event: of the trajectories.
        enabled: whether to add the quadratic.
    """

    is_free: Tensor

    def __init__(self, event: Event, enabled: bool = True) -> None:
        super().__init__()
        actions = trajectory_space(event, "ActionAnchor is for the actions of a step, but the data").actions
        self.enabled = enabled and not actions.has_uniform
        units = actions.units(actions.size)
        self.register_buffer("is_free", torch.isinf(units.low) | torch.isinf(units.high), persistent=False)

    def forward(self, cost: Tensor, action: Tensor) -> Tensor:
        """The costs (...) of actions (..., *act) with the quadratic added."""
        if not self.enabled:
            return cost
        return cost + torch.where(self.is_free, action.flatten(cost.ndim).square(), 0.0).sum(-1) / 2
