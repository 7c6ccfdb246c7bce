"""The contract of an environment: what a policy acts in, whole batches of episodes at a time."""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import trajectory_space

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Step(NamedTuple):
    """What a batch of actions led to.

    Attributes:
        state: the next states, whatever the environment keeps; never looked into from outside.
        observation: of the next states (B, *obs).
        reward: the true reward of the step (B,), zeros where it is not known; for reports only, nothing learns from it.
        terminal: whether the environment ended the episode (B,), bool; never because of time.
    """

    state: Any
    observation: Tensor
    reward: Tensor
    terminal: Tensor


class Environment(nn.Module, abc.ABC):
    """A batch of episodes that start and step together.

    Tensors are made in the dtype and on the device that :meth:`reset` is asked for, and stay there. Random numbers come
    from torch's global random state of that device. Constants are buffers.

    Attributes:
        observation_shape: shape of one observation.
        num_actions: number of discrete actions, 0 for continuous ones.
        action_shape: shape of one action, () for discrete ones.
        action_low: lower bounds of the actions that it applies (flattened), () where there are none.
        action_high: upper bounds.
        observation_low: lower bounds of what it observes (flattened, or one for all), () where none are known.
        observation_high: upper bounds.
        serves_bytes: whether observations are bytes in the world, served in [0, 1].
        gymnasium_id: the id under which gymnasium has it, empty where it has none.
        absorbing: whether it can end an episode.
        is_differentiable: whether next states have a gradient in the action.
        phase_labels: what the two coordinates of :meth:`phase` are, with units.
    """

    observation_shape: Sequence[int]
    num_actions: int = 0
    action_shape: Sequence[int] = ()
    action_low: Sequence[float] = ()
    action_high: Sequence[float] = ()
    observation_low: Sequence[float] = ()
    observation_high: Sequence[float] = ()
    serves_bytes: bool = False
    gymnasium_id: str = ""
    absorbing: bool = False
    is_differentiable: bool = False
    phase_labels: Sequence[str] = ("observation 0", "observation 1")

    @abc.abstractmethod
    def reset(
        self, num: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Any, Tensor]:
        """Start episodes.

        Returns:
            States, and their observations (num, *obs).
        """

    @abc.abstractmethod
    def step(self, state: Any, action: Tensor) -> Step:
        """Act.

        Args:
            state: of :meth:`reset` or of the last :class:`Step`.
            action: (B, *act), long (B,) where discrete. Bounds are applied here: what lies outside is clipped.
        """

    @property
    def title(self) -> str:
        """What messages call it."""
        return type(self).__name__

    @property
    def how_to_end(self) -> str:
        """What to do about one that should end episodes, as the end of a sentence; nothing where it cannot."""
        return ""

    def starts(self, num: int) -> Tensor:
        """Observations (num, *obs) of resets that leave no trace: not in random numbers, and not in
        what goes on here.
        """
        is_here = all(buffer.device.type == "cpu" for buffer in self.buffers())
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return (self if is_here else copy.deepcopy(self).cpu()).reset(num)[1]

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor | None:
        """The true reward of any steps (...), as far as observations (..., *obs) and actions (..., *act) tell; None if
        unknown.
        """
        return None

    def phase(self, observation: Tensor) -> Tensor | None:
        """The two coordinates (..., 2) of observations (..., *obs) that a figure shows; None where there are no two."""
        is_plane = len(self.observation_shape) == 1 and self.observation_shape[0] >= 2
        return observation[..., :2] if is_plane else None

    def sketch(self, axes: Axes, observation: Tensor) -> bool:
        """Draw the scene of one observation (*obs), on the CPU; returns whether this environment can."""
        return False

    def check(self, event: Event) -> None:
        """Compare with the demonstrations' event.

        Raises:
            ValueError: naming what differs.
        """
        name = self.title
        mine = {
            "observation_shape": list(self.observation_shape),
            "num_actions": self.num_actions,
            "action_shape": list(self.action_shape),
        }
        actions = trajectory_space(event, f"environment {name} makes trajectories, the data").actions
        size = actions.size
        if self.num_actions and not actions.number and size == self.num_actions:
            raise ValueError(
                f"the demonstrations' actions are vectors of {size} numbers, continuous ones, environment {name} has "
                f"{size} discrete "
                "actions; if they are one-hot, store the integers: actions.argmax(-1)"
            )
        for field, value in mine.items():
            if event[field] != value:
                raise ValueError(
                    f"the demonstrations' {field} is {event[field]}, environment {name} has {value}: "
                    "they are not from this environment"
                )
        self._check_scale(event)
        if self.absorbing and not event["absorbing"]:
            raise ValueError(
                f"environment {name} can end episodes early, but the event has neither absorbing states nor a fixed "
                "horizon, and a variable horizon tells demonstrations by their length: set absorbing=true on the data"
            )

    def _check_scale(self, event: Event) -> None:
        """Pixels that are served in [0, 1] have a mean there."""
        mean, is_learned = event["observation_location"], event["observation_scale"] != [1.0]
        if self.serves_bytes and is_learned and not -0.01 <= min(mean) <= max(mean) <= 1.01:
            raise ValueError(
                f"the demonstrations' observations have a mean of {max(mean, key=abs):.4g}, the pixels of environment "
                f"{self.title} are "
                "bytes, served in [0, 1]: store the demonstrations' as bytes too (dtype uint8), or divide them by 255"
            )
