"""A cost linear in features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_irl.costs.action_anchor import ActionAnchor
from lightning_irl.costs.mlp_step import StepFeatures
from lightning_irl.costs.step import StepCost
from lightning_irl.spaces.event import Event

Features = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class LinearStepCost(StepCost):
    r"""c(s, a, s') = w . phi(s, a, s'): maximum-entropy IRL (Ziebart et al. 2008).

    The gradient of :math:`E_p[c] + \log Z` in w is the difference of expected features, :math:`E_p[\phi] -
    E_{p_\theta}[\phi]`. The weights start at zero, where all actions cost the same.

    Args:
        event: of the trajectories.
        features: called with the event, gives phi: a function or module of the arguments of a step cost, with values
            (..., k). By default the standardised observation, and the action between -1 and 1 or one-hot.
        quadratic: add all products of two features.
        anchor: add the quadratic that makes exp(-c) integrable over unbounded actions.

    Example:
        >>> from lightning_irl.spaces.event import make_trajectory_event
        >>> event = make_trajectory_event(5, [3], action_shape=[1])
        >>> LinearStepCost(event, quadratic=True).weights.shape  # 4 + 4 * 5 / 2
        torch.Size([14])
    """

    def __init__(
        self,
        event: Event,
        features: Callable[[Event], Features] | None = None,
        quadratic: bool = False,
        anchor: bool = True,
    ) -> None:
        super().__init__(event)
        self.anchor = ActionAnchor(event, anchor)
        self.base: Features = StepFeatures(event) if features is None else features(event)
        self.quadratic = quadratic
        self.weights = nn.Parameter(torch.zeros(self._count()))

    def features(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        """phi (..., k), with the products of features if ``quadratic``."""
        found = self.base(observation, action, next_observation, time)
        if not self.quadratic:
            return found
        first, second = torch.triu_indices(found.shape[-1], found.shape[-1], device=found.device)
        return torch.cat([found, found[..., first] * found[..., second]], -1)

    def _count(self) -> int:
        observation, actions = torch.zeros(1, *self.space.observation_shape), self.space.actions
        action = torch.zeros(1, *actions.shape, dtype=torch.long if actions.number else None)
        with torch.no_grad():
            return self.features(observation, action, observation, torch.zeros(1, dtype=torch.long)).shape[-1]

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        cost = self.features(observation, action, next_observation, time) @ self.weights
        return self.anchor(cost, action)
