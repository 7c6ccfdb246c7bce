"""The contract of a policy: pi(a | s, t), drawn from and scored step by step."""

from __future__ import annotations

import abc
from typing import Any

from torch import Tensor, nn

from lightning_irl.precision import keep_full_precision
from lightning_irl.spaces.action_space import ActionSpace
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import TrajectorySpace, trajectory_space


class Policy(nn.Module, abc.ABC):
    """Chooses actions.

    Leading dimensions are free: observation (..., *obs), time (...) long, action (..., *act), log pi (...).
    Densities are in nats with respect to the event's base measure. Draws use torch's global random state.

    Args:
        event: of the trajectories.

    Attributes:
        space: made from the event.
        base_measures: base measures of events that this policy can score.
        has_rsample: whether actions have a gradient in the parameters.

    Raises:
        ValueError: if the event's base measure is another.
    """

    base_measures: tuple[str, ...] = ()
    has_rsample: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        keep_full_precision(cls, ("sample", "rsample", "log_prob"))

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event, self.space = event, self.space_of(event)
        if self.space.base_measure not in self.base_measures:
            raise ValueError(
                f"policy {type(self).__name__} has a density for the base measure {' or '.join(self.base_measures)}, "
                f"the event's is {self.space.base_measure}" + _advice(self.space.actions)
            )
        self.horizon, self.observation_shape = self.space.horizon, self.space.observation_shape
        self.action_shape, self.action_size = self.space.actions.shape, self.space.actions.size

    @classmethod
    def space_of(cls, event: Event) -> TrajectorySpace:
        """The space of the event.

        Raises:
            ValueError: if the event is not of trajectories.
        """
        return trajectory_space(event, f"policy {cls.__name__} needs an event of trajectories, this one")

    @abc.abstractmethod
    def sample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions without gradient.

        Returns:
            Actions (..., *act), as applied, and their log pi (...).
        """

    @abc.abstractmethod
    def log_prob(self, observation: Tensor, action: Tensor, time: Tensor) -> Tensor:
        """log pi(action | observation, time) (...), differentiable in the parameters."""

    @abc.abstractmethod
    def mode(self, observation: Tensor, time: Tensor) -> Tensor:
        """The mode of the policy: actions (..., *act); where actions are transformed, the mode before the transform."""

    def rsample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions with a gradient in the parameters.

        Raises:
            NotImplementedError: if ``has_rsample`` is False.
        """
        raise NotImplementedError(f"policy {type(self).__name__} has no differentiable actions")


def _advice(actions: ActionSpace) -> str:
    if not actions.is_clipped:
        return ""
    low, high = list(actions.low[:4]), list(actions.high[:4])
    return f", since actions are clipped at their bounds ({low} to {high}): use ClippedGaussianPolicy"
