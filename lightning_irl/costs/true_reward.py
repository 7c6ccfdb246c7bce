"""The environment's own reward as a cost: for training experts, and for comparison with learned costs."""

from __future__ import annotations

from torch import Tensor

from lightning_irl.costs.step import StepCost
from lightning_irl.environments.base import Environment
from lightning_irl.spaces.event import Event


class TrueRewardCost(StepCost):
    """c(s, a, s') = minus the reward of an environment.

    Args:
        event: of the trajectories.
        environment: one whose reward is a function of observations and actions.

    Raises:
        ValueError: if its reward is not such a function.
    """

    def __init__(self, event: Event, environment: Environment) -> None:
        super().__init__(event)
        if type(environment).reward is Environment.reward:
            raise ValueError(
                f"environment {type(environment).__name__} does not tell its reward from observations; write its "
                "reward method"
            )
        self.environment = environment

    def forward(self, observation: Tensor, action: Tensor, next_observation: Tensor, time: Tensor) -> Tensor:
        reward = self.environment.reward(observation, action, next_observation)
        assert reward is not None
        return -reward
