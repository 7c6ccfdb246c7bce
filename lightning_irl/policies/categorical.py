"""Discrete actions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lightning_irl.event import Event
from lightning_irl.policies.network import NetworkPolicy


class CategoricalPolicy(NetworkPolicy):
    """Actions 0 to num_actions - 1 with probabilities by a softmax, counted.

    Args:
        event: of the trajectories.
        **network: of :class:`~lightning_irl.policies.network.NetworkPolicy`.

    Example:
        >>> from lightning_irl.event import make_trajectory_event
        >>> policy = CategoricalPolicy(make_trajectory_event(5, [4], num_actions=2))
        >>> policy.sample(torch.zeros(3, 4), torch.zeros(3, dtype=torch.long))[0].shape
        torch.Size([3])
    """

    base_measures = ("counting",)

    def __init__(self, event: Event, **network: Any) -> None:
        super().__init__(event, max(event.get("num_actions", 0), 1), **network)

    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits = self.outputs(observation, time)
            noise = torch.empty_like(logits).exponential_().log_()
            action = (logits - noise).argmax(-1)  # Gumbel's trick: no check waits for the device
            return action, self._log_prob(logits, action)

    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        return self._log_prob(self.outputs(observation, time), action)

    @staticmethod
    def _log_prob(logits: Tensor, action: Tensor) -> Tensor:
        return logits.log_softmax(-1).gather(-1, action[..., None]).squeeze(-1)

    def mode(self, observation: Tensor, time: Tensor) -> Tensor:
        with torch.no_grad():
            return self.outputs(observation, time).argmax(-1)
