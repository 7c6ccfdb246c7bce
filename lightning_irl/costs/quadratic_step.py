"""The cost of guided cost learning's robots: a squared distance in learned features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_irl.costs.mlp_step import StepFeatures
from lightning_irl.costs.step import StepCost
from lightning_irl.networks import mlp
from lightning_irl.spaces.event import Event


class QuadraticStepCost(StepCost):
    r"""A squared distance to a goal in learned features, plus the price of the action.

    .. math:: c(s, a) = d^2 + v \log(1 + d^2 / \alpha) + w_u |a|^2, \qquad d^2 = |A y(s) + b|^2

    With v = 0 it is equation 2 of Finn, Levine and Abbeel (2016, "Guided cost learning", ICML, arXiv 1603.00448,
    section 6.1): y a rectifier network of the state, :math:`w_u` fixed, A, b and the network learned; without hidden
    layers y is the state, the paper's affine cost (section 6.2). The logarithm is that of the cost its experts were
    trained on for precise insertion, :math:`w d^2 + v \log(d^2 + \alpha)` (section 6.1), less the constant :math:`v
    \log \alpha`. It is never negative.

    Args:
        event: of the trajectories; continuous actions.
        hidden: sizes of the network's hidden layers; empty for the affine cost.
        features: number of coordinates of y; unused without hidden layers.
        rank: rows of A; by default as many as y has coordinates.
        action_weight: :math:`w_u`, in nats per square of an action between -1 and 1, or of an unbounded action in its
            units.
        log_weight: v, in nats.
        log_offset: alpha.

    Raises:
        ValueError: if actions are discrete, a weight is below zero, ``log_offset`` is not above it, or unbounded
            actions have weight 0, where exp(-c) is not integrable.
    """

    def __init__(
        self,
        event: Event,
        hidden: Sequence[int] = (40, 40),
        features: int = 20,
        rank: int | None = None,
        action_weight: float = 0.1,
        log_weight: float = 0.0,
        log_offset: float = 1e-2,
    ) -> None:
        super().__init__(event)
        if self.space.actions.number:
            raise ValueError("QuadraticStepCost is for continuous actions, the event's are discrete; use MLPStepCost")
        if min(action_weight, log_weight) < 0 or not log_offset > 0:
            raise ValueError(
                f"action_weight is {action_weight}, log_weight {log_weight} and log_offset {log_offset}; "
                "weights must not be below 0, the offset above it"
            )
        if not (action_weight or self.space.actions.has_bounds):
            raise ValueError("action_weight is 0, but without bounds exp(-c) is then not integrable; set it above 0")
        self.action_weight, self.log_weight, self.log_offset = action_weight, log_weight, log_offset
        self.state, self.action = StepFeatures(event, "state"), StepFeatures(event, "action")
        self.network = mlp([self.state.size, *hidden, features], nn.ReLU) if hidden else nn.Identity()
        size = features if hidden else self.state.size
        self.affine = nn.Linear(size, rank or size)

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        step = observation, action, next_observation, time
        distance: Tensor = self.affine(self.network(self.state(*step))).square().sum(-1)
        cost = distance + self.action_weight * self.action(*step).square().sum(-1)
        return cost + self.log_weight * torch.log1p(distance / self.log_offset) if self.log_weight else cost
