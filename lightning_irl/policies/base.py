"""The contract of a policy: pi(a | s, t), drawn from and scored step by step."""

from __future__ import annotations

import abc
import math
from typing import Any

from torch import Tensor, nn

from lightning_irl.precision import keep_full_precision
from lightning_irl.spaces.event import Event, validate_event


class Policy(nn.Module, abc.ABC):
    """Chooses actions.

    Leading dimensions are free: observation (..., *obs), time (...) long, action (..., *act), log pi (...).
    Densities are in nats with respect to the event's base measure. Draws use torch's global random state.

    Args:
        event: of the trajectories.

    Attributes:
        base_measures: those of events that this policy can score.
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
        validate_event(event)
        name = type(self).__name__
        if event["kind"] != "trajectory":
            raise ValueError(f"policy {name} needs an event of trajectories, this one is of kind {event['kind']}")
        if event["base_measure"] not in self.base_measures:
            raise ValueError(
                f"policy {name} has a density for the base measure {' or '.join(self.base_measures)}, "
                f"the event's is {event['base_measure']}" + _advice(event)
            )
        self.event = event
        self.horizon: int = event["horizon"]
        self.observation_shape, self.action_shape = tuple(event["observation_shape"]), tuple(event["action_shape"])
        self.action_size = math.prod(self.action_shape)

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
        """The likeliest actions (..., *act), of an untransformed variable where a transform moves the mode."""

    def rsample(self, observation: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions with a gradient in the parameters.

        Raises:
            NotImplementedError: if ``has_rsample`` is False.
        """
        raise NotImplementedError(f"policy {type(self).__name__} has no differentiable actions")


def _advice(event: Event) -> str:
    if event["base_measure"] != "clipped":
        return ""
    low, high = event["action_low"][:4], event["action_high"][:4]
    return f", since actions are clipped at their bounds ({low} to {high}): use ClippedGaussianPolicy"
