"""Costs of single steps, and their sum along a trajectory."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_irl.costs.base import Cost
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples
from lightning_irl.spaces.space import trajectory_space
from lightning_irl.spaces.trajectory import Trajectory, as_trajectory

ABSORBING_SPEED = (
    10.0  # nats per unit of the parameter: a lone scalar would learn far slower than a network's output does
)


class StepCost(nn.Module, abc.ABC):
    """c(s, a, s', t) of one step.

    Args:
        event: of the trajectories.

    Attributes:
        sees_actions: whether it depends on actions; without, demonstrations of states alone serve.

    Raises:
        ValueError: if the event is not of trajectories.
    """

    sees_actions: bool = True

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.space = trajectory_space(event, f"{type(self).__name__} is the cost of a step, but the data")
        self.event = event

    @abc.abstractmethod
    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        """Cost of steps.

        Args:
            observation: (..., *obs).
            action: (..., *act) as applied; long where discrete.
            next_observation: (..., *obs).
            time: step of the episode (...), long.

        Returns:
            (...), in nats.
        """


class TrajectoryCost(Cost):
    r"""c(tau) = sum over the steps with an action of c(s, a, s', t), plus a learned scalar for each absorbed step.

    It takes trajectories, segments and transitions. The scalar starts at minus the largest entropy that a step can
    have, so that under a constant cost neither a longer nor a shorter episode is preferred: such a preference is
    learned from demonstrations.

    Args:
        event: of the trajectories.
        step_cost: factory of the cost of a step, called with the event.
    """

    def __init__(self, event: Event, step_cost: Callable[[Event], StepCost]) -> None:
        super().__init__(event)
        self.step_cost = step_cost(event)
        space = trajectory_space(event, "TrajectoryCost is the cost of a trajectory, but the data")
        self.sees_actions = self.step_cost.sees_actions
        self.is_absorbing = space.is_absorbing
        if self.is_absorbing:
            entropy = space.actions.log_mass
            start = -entropy if math.isfinite(entropy) else 0.0
            self.absorbing = nn.Parameter(torch.tensor(start / ABSORBING_SPEED))

    @property
    def absorbing_cost(self) -> Tensor:
        """Cost of a step in the absorbing state, a scalar in nats."""
        return self.absorbing * ABSORBING_SPEED

    def step_costs(self, trajectory: Trajectory) -> Tensor:
        """Cost of each step (B, T); zero on padding."""
        observations = trajectory.observations
        costs = self.step_cost(observations[:, :-1], trajectory.actions, observations[:, 1:], trajectory.time)
        costs = torch.where(trajectory.mask, costs, 0.0)
        return costs + self.absorbing_cost * trajectory.absorbed if self.is_absorbing else costs

    def forward(self, samples: Samples) -> Tensor:
        """Cost of trajectories of any length (B,)."""
        return self.step_costs(as_trajectory(samples, "TrajectoryCost takes")).sum(1)
