"""The quadratic that makes exp(-c) integrable over unbounded actions."""

from __future__ import annotations

from torch import Tensor, nn

from lightning_irl.event import Event


class ActionAnchor(nn.Module):
    r"""Adds :math:`|a|^2 / 2` to the cost of a step whose actions are continuous and have no bounds; zero otherwise.

    A network's cost falls at most linearly far out, so that with it the integral of exp(-c) over actions is finite. In the units of
    the action, for the event does not tell the scale of actions.

    Args:
        event: of the trajectories.
        enabled: whether to add it.
    """

    def __init__(self, event: Event, enabled: bool = True) -> None:
        super().__init__()
        self.enabled = enabled and not event["num_actions"] and not event["action_low"]

    def forward(self, cost: Tensor, action: Tensor) -> Tensor:
        """Costs (...) of actions (..., *act), anchored."""
        return cost + action.flatten(cost.ndim).square().sum(-1) / 2 if self.enabled else cost
