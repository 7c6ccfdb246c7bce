"""Discrete actions in discrete states: a table of logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_irl.policies.base import Policy
from lightning_irl.policies.categorical import categorical_log_prob, draw_categorical
from lightning_irl.spaces.event import Event


class TabularPolicy(Policy):
    """pi(a | s, t) by a softmax over a row of a table; every policy of a tabular environment has this form.

    The observation of a tabular environment is the one-hot vector of its state, (S,) float; the state is its largest
    coordinate.

    Args:
        event: of the trajectories; discrete actions, observations of shape [S].
        sees_time: use separate rows for each step of the horizon, as an optimal policy for a finite horizon needs.

    Raises:
        ValueError: if observations are not vectors.

    Example:
        >>> from lightning_irl.spaces.event import make_trajectory_event
        >>> TabularPolicy(make_trajectory_event(5, [4], num_actions=2)).logits.shape  # steps, states, actions
        torch.Size([5, 4, 2])
    """

    base_measures = ("counting",)

    def __init__(self, event: Event, sees_time: bool = True) -> None:
        super().__init__(event)
        if len(self.observation_shape) != 1:
            raise ValueError(
                f"TabularPolicy takes states as one-hot vectors of shape [S], the event's observations have shape "
                f"{list(self.observation_shape)}; use CategoricalPolicy"
            )
        self.sees_time = sees_time
        rows = (self.horizon, *self.observation_shape) if sees_time else self.observation_shape
        self.logits = nn.Parameter(torch.zeros(*rows, self.space.actions.number))

    def rows(self, observation: Tensor, time: Tensor) -> Tensor:
        """Logits of the actions (..., A)."""
        row = observation.argmax(-1)
        if self.sees_time:
            row = time * self.observation_shape[0] + row
        table = self.logits.flatten(0, -2)
        return table.index_select(0, row.flatten()).view(*time.shape, table.shape[1])

    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits = self.rows(observation, time)
            action = draw_categorical(logits)
            return action, categorical_log_prob(logits, action)

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        return categorical_log_prob(self.rows(observation, time), action)

    def mode(self, observation: Tensor, time: Tensor) -> Tensor:
        with torch.no_grad():
            return self.rows(observation, time).argmax(-1)
