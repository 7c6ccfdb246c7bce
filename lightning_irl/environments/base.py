"""The contract of an environment, which steps whole batches of episodes at a time."""

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
    """Results of a batch of actions.

    Attributes:
        state: the next states, in the environment's own form; opaque to callers.
        observation: observations of the next states (B, *obs).
        reward: the true reward of the step (B,), zeros where unknown; for reports only, nothing learns from it.
        terminal: whether the environment ended the episode (B,), bool; never because of a time limit.
    """

    state: Any
    observation: Tensor
    reward: Tensor
    terminal: Tensor


class Environment(nn.Module, abc.ABC):
    """A batch of episodes that start and step together.

    Tensors have the dtype and device given to :meth:`reset`. Random numbers come from torch's global random state of
    that device. Constants are buffers.

    Attributes:
        observation_shape: shape of one observation.
        num_actions: number of discrete actions, 0 for continuous ones.
        action_shape: shape of one action, () for discrete ones.
        action_low: lower bounds of the applied actions (flattened), () if there are none.
        action_high: upper bounds.
        observation_low: lower bounds of observations (flattened, or one for all), () if unknown.
        observation_high: upper bounds.
        serves_bytes: whether observations are bytes in the original environment, scaled to [0, 1].
        gymnasium_id: its id in gymnasium, empty if it has none.
        absorbing: whether it can end an episode early.
        is_differentiable: whether next states are differentiable in the action.
        phase_labels: names of the two coordinates of :meth:`phase`, with units.
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
            state: from :meth:`reset` or the last :class:`Step`.
            action: (B, *act), or long (B,) if discrete. The environment clips actions to its bounds.
        """

    @property
    def title(self) -> str:
        """Its name in messages."""
        return type(self).__name__

    @property
    def how_to_end(self) -> str:
        """Advice, as the end of a sentence, if it should end episodes but does not; empty if it cannot."""
        return ""

    def starts(self, num: int) -> Tensor:
        """First observations (num, *obs) of resets that change neither the random state nor running episodes."""
        is_here = all(buffer.device.type == "cpu" for buffer in self.buffers())
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return (self if is_here else copy.deepcopy(self).cpu()).reset(num)[1]

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor | None:
        """The true reward (...) of steps, from observations (..., *obs) and actions (..., *act); None if unknown."""
        return None

    def phase(self, observation: Tensor) -> Tensor | None:
        """Two coordinates (..., 2) of observations (..., *obs) for figures; None if there are none."""
        is_plane = len(self.observation_shape) == 1 and self.observation_shape[0] >= 2
        return observation[..., :2] if is_plane else None

    def sketch(self, axes: Axes, observation: Tensor) -> bool:
        """Draw the scene of one observation (*obs) on the CPU; return whether this environment can."""
        return False

    def check(self, event: Event) -> None:
        """Check that the demonstrations' event fits this environment.

        Raises:
            ValueError: if it does not; the message names what differs.
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
                f"the demonstrations' actions are continuous vectors of {size} numbers, environment {name} has "
                f"{size} discrete actions; if they are one-hot, store the integers: actions.argmax(-1)"
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
                "horizon, and with a variable horizon their length alone distinguishes demonstrations: "
                "set absorbing=true on the data"
            )

    def _check_scale(self, event: Event) -> None:
        """Refuse demonstrations with a mean outside [0, 1] where the environment's pixels are scaled to it."""
        mean, is_learned = event["observation_location"], event["observation_scale"] != [1.0]
        if self.serves_bytes and is_learned and not -0.01 <= min(mean) <= max(mean) <= 1.01:
            raise ValueError(
                f"the demonstrations' observations have a mean of {max(mean, key=abs):.4g}, the pixels of environment "
                f"{self.title} are bytes scaled to [0, 1]: store the demonstrations as bytes too (dtype uint8), "
                "or divide them by 255"
            )
