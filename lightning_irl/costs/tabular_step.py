"""A cost of discrete states and actions: a table."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_irl.costs.mlp_step import INPUTS, Inputs
from lightning_irl.costs.step import StepCost
from lightning_irl.spaces.event import Event


class TabularStepCost(StepCost):
    """c(s, a, s', t) from a table, initially zero; every cost of a tabular environment has this form.

    The observation of a tabular environment is the one-hot vector of its state, (S,) float; the state is its largest
    coordinate.

    Args:
        event: of the trajectories; discrete actions, observations of shape [S].
        inputs: ``state_action``, ``state``, ``action``, ``state_next`` or ``state_action_next``: the table's
            dimensions, in this order.
        sees_time: a table for each step of the horizon, as the first dimension.

    Raises:
        ValueError: if ``inputs`` is none of these, actions are continuous, or observations are not vectors.

    Example:
        >>> from lightning_irl.spaces.event import make_trajectory_event
        >>> TabularStepCost(make_trajectory_event(5, [4], num_actions=2)).table.shape
        torch.Size([4, 2])
    """

    def __init__(
        self,
        event: Event,
        inputs: Inputs = "state_action",
        sees_time: bool = False,
    ) -> None:
        super().__init__(event)
        if inputs not in INPUTS:
            raise ValueError(f"inputs is {inputs!r}; allowed: {', '.join(INPUTS)}")
        shape, self.num_actions = list(self.space.observation_shape), self.space.actions.number
        if not self.num_actions or len(shape) != 1:
            raise ValueError(
                "TabularStepCost takes discrete actions, and states as one-hot vectors of shape [S]; the event has "
                f"{self.num_actions} discrete actions and observations of shape {shape}; use MLPStepCost"
            )
        self.kept = (sees_time, *INPUTS[inputs])
        self.sees_actions = INPUTS[inputs][1]
        self.num_states = shape[0]
        sizes = (self.space.horizon, self.num_states, self.num_actions, self.num_states)
        self.table = nn.Parameter(
            torch.zeros([size for size, is_kept in zip(sizes, self.kept, strict=True) if is_kept])
        )

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        cell = torch.zeros_like(time)
        sees_time, sees_state, sees_action, sees_next = self.kept
        if sees_time:
            cell = time
        if sees_state:
            cell = cell * self.num_states + observation.argmax(-1)
        if sees_action:
            cell = cell * self.num_actions + action
        if sees_next:
            cell = cell * self.num_states + next_observation.argmax(-1)
        return self.table.flatten().index_select(0, cell.flatten()).view(time.shape)
