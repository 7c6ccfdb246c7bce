"""The mean of several costs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_irl.costs.step import StepCost
from lightning_irl.spaces.event import Event


class EnsembleStepCost(StepCost):
    """The mean cost of members with different initial weights; they disagree where demonstrations and draws say little.

    The members are trained together on the loss of their mean and differ by initial weights alone, so they vary less
    than the separately trained members of a deep ensemble (Lakshminarayanan et al. 2017, arXiv 1612.01474). Read
    :meth:`std` as an indication, not as an error bar.

    Args:
        event: of the trajectories.
        cost: factory of a member, called with the event.
        members: their number.

    Raises:
        ValueError: if there are fewer than two members.
    """

    def __init__(self, event: Event, cost: Callable[[Event], StepCost], members: int = 5) -> None:
        super().__init__(event)
        if members < 2:
            raise ValueError(f"members is {members}; an ensemble has at least 2")
        each = [cost(event) for _ in range(members)]
        self.sees_actions = any(member.sees_actions for member in each)
        self.members = nn.ModuleList(each)

    def costs(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        """The members' costs (members, ...), in nats."""
        return torch.stack([member(observation, action, next_observation, time) for member in self.members])

    def std(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        """Standard deviation of the members' costs (...), in nats."""
        return self.costs(observation, action, next_observation, time).std(0)

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        return self.costs(observation, action, next_observation, time).mean(0)
