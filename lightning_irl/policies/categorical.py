"""Discrete actions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_irl.policies.network import NetworkPolicy
from lightning_irl.spaces.event import Event


def draw_categorical(logits: Tensor) -> Tensor:
    """Classes (...), long, with probabilities by a softmax of logits (..., A); by Gumbel's trick, which checks nothing
    and so waits for no device."""
    noise = torch.empty_like(logits).exponential_().log_()
    return (logits - noise).argmax(-1)


def categorical_log_prob(logits: Tensor, action: Tensor) -> Tensor:
    """log probability (...) of classes (...) by a softmax of logits (..., A)."""
    return logits.log_softmax(-1).gather(-1, action[..., None]).squeeze(-1)


class CategoricalPolicy(NetworkPolicy):
    """Actions 0 to num_actions - 1 with probabilities by a softmax, counted.

    Args:
        event: of the trajectories.
        **network: of :class:`~lightning_irl.policies.network.NetworkPolicy`.

    Example:
        >>> from lightning_irl.spaces.event import make_trajectory_event
        >>> policy = CategoricalPolicy(make_trajectory_event(5, [4], num_actions=2))
        >>> policy.sample(torch.zeros(3, 4), torch.zeros(3, dtype=torch.long))[0].shape
        torch.Size([3])
    """

    base_measures = ("counting",)

    def __init__(self, event: Event, **network: Any) -> None:
        super().__init__(event, max(self.space_of(event).actions.number, 1), **network)

    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits = self.outputs(observation, time)
            action = draw_categorical(logits)
            return action, categorical_log_prob(logits, action)

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        return categorical_log_prob(self.outputs(observation, time), action)

    def mode(self, observation: Tensor, time: Tensor) -> Tensor:
        with torch.no_grad():
            return self.outputs(observation, time).argmax(-1)
