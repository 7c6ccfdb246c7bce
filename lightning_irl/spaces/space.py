"""What kind of thing a sample is: one object made from the event, which answers for its kind.

The event stays a plain dict, which is saved. What depends on the kind of a sample (which estimates of log Z apply,
which figure shows it, whether a chain can move it) asks the space that :func:`space_of` makes of it, and nothing else
compares the event's words.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from lightning_irl.spaces.action_space import ActionSpace
from lightning_irl.spaces.event import Event, validate_event
from lightning_irl.spaces.lattice import Lattice
from lightning_irl.spaces.support import Support, support_of

MOST_COORDINATES = 2  # of continuous samples, over which a grid can be laid
MOST_STATES = 2**20  # of samples of discrete levels, that can be summed over


@dataclass(frozen=True, kw_only=True, eq=False)
class Space(abc.ABC):
    """All samples that an event describes.

    Attributes:
        kind: the event's word for it.
        has_steps: whether a sample is a trajectory.
        is_image: whether a sample is an image.
        shape: of one sample, without the batch dimension.
        base_measure: what densities are with respect to: ``lebesgue``, ``counting`` or ``clipped``.
        support: where the coordinates lie, as a change of coordinates to all of R^d.
        lattice: the levels of counted samples; None of continuous ones.
        given_location: mean of the training data as the event has it: one value or one per coordinate.
        given_scale: its standard deviation.
    """

    kind: ClassVar[str]
    has_steps: ClassVar[bool] = False
    is_image: ClassVar[bool] = False

    shape: tuple[int, ...]
    base_measure: str
    support: Support
    lattice: Lattice | None
    given_location: tuple[float, ...]
    given_scale: tuple[float, ...]

    @property
    def words(self) -> str:
        """What messages call such samples."""
        return f"{self.kind}s" if self.lattice is None else "discrete levels"

    @property
    def dimension(self) -> int:
        """Number of coordinates of one sample, d."""
        return math.prod(self.shape)

    @property
    def location(self) -> Tensor:
        """Mean of the training data in each coordinate (d,), float32."""
        return torch.tensor(self.given_location, dtype=torch.float32).expand(self.dimension).clone()

    @property
    def scale(self) -> Tensor:
        """Standard deviation of the training data in each coordinate (d,), float32."""
        return torch.tensor(self.given_scale, dtype=torch.float32).expand(self.dimension).clone()

    @property
    def edges(self) -> tuple[float, float] | None:
        """Lower and upper edge of the box in every coordinate; None on all of R^d."""
        return self.support.edges

    @property
    def is_counted(self) -> bool:
        """Whether each coordinate is one of a number of levels, so that a density is a probability."""
        return self.lattice is not None

    @property
    def has_channels(self) -> bool:
        """Whether a sample has the shape [C, H, W]."""
        return len(self.shape) == 3

    @property
    def takes_chains(self) -> bool:
        """Whether a chain can move a sample along the gradient of its cost."""
        return not self.is_counted

    @property
    def is_grid_sized(self) -> bool:
        """Whether log Z can be had by a sum over a grid, or over all states."""
        if self.lattice is not None:
            return self.lattice.num_states <= MOST_STATES
        return self.dimension <= MOST_COORDINATES

    @property
    def figure(self) -> Literal["plane", "grid", "rollouts"] | None:
        """The figure that shows such samples; None where there is none."""
        return None

    def columns(self, samples: Tensor) -> dict[str, Tensor]:
        """Columns (B,) in which a table shows the samples themselves, by name."""
        return {}

    def extent(self, widths: float) -> list[tuple[float, float]]:
        """Lower and upper end in each coordinate: the edges of the box, or so many standard deviations of the training
        data from its mean.
        """
        if self.edges is not None:
            return [self.edges] * self.dimension
        middle, reach = (_expanded(values, self.dimension) for values in (self.given_location, self.given_scale))
        return [(m - widths * s, m + widths * s) for m, s in zip(middle, reach, strict=True)]

    def square(self, widths: float) -> tuple[float, float]:
        """One lower and upper end for all coordinates: the edges of the box, or so many of the largest standard
        deviations from the mean of the training data's means.
        """
        if self.edges is not None:
            return self.edges
        middle = sum(self.given_location) / len(self.given_location)
        reach = widths * max(self.given_scale)
        return middle - reach, middle + reach

    def inside(self, values: Tensor) -> Tensor:
        """Values at least a hundredth of the box's width from its edges, where they have a logit; all of them on
        R^d.
        """
        if self.edges is None:
            return values
        low, high = self.edges
        margin = 0.01 * (high - low)
        return values.clamp(low + margin, high - margin)

    def require_continuous(self, user: str) -> None:
        """Refuse samples of discrete levels, for the user needs a density on R^d or its gradient.

        Raises:
            ValueError: naming the user, the levels and what to use.
        """
        if self.lattice is not None:
            raise ValueError(
                f"{user} is for continuous samples, and the event counts {self.lattice.levels} levels in each "
                "coordinate; use AutoregressiveSampler, and importance or quadrature for log Z"
            )


class PointSpace(Space):
    """Points: vectors, or arrays of any shape that are no images."""

    kind = "point"

    @property
    def figure(self) -> Literal["plane"] | None:
        return "plane" if self.shape == (2,) else None

    def columns(self, samples: Tensor) -> dict[str, Tensor]:
        return {f"x{index}": column for index, column in enumerate(samples.flatten(1).T)}


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSpace(Space):
    """Images.

    Attributes:
        grey_range: values shown as black and white, for images on R^d that are not logits of grey levels; or None.
    """

    kind = "image"
    is_image = True

    grey_range: tuple[float, float] | None

    @property
    def figure(self) -> Literal["grid"] | None:
        return "grid" if self.has_channels else None

    def grey_levels(self, images: Tensor) -> Tensor:
        """Images as served (B, C, H, W) as grey levels or colours in [0, 1].

        From the edges of a box; on all of R^d from the event's ``grey_range``, beyond which all is black or white.
        Where it has none, images are taken for logits of grey levels.
        """
        if self.edges is not None:
            low, high = self.edges
            return (images - low) / (high - low)
        if self.grey_range is None:
            return torch.sigmoid(images)
        black, white = self.grey_range
        return ((images - black) / (white - black)).clamp(0, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrajectorySpace(Space):
    """Trajectories of a fixed number of steps.

    Attributes:
        horizon: steps of every trajectory.
        is_absorbing: whether an episode can end early, and then stays in an absorbing state.
        observation_shape: of one observation.
        given_observation_location: mean of the training observations: one value or one per coordinate (flattened).
        given_observation_scale: their standard deviation.
        actions: what one action is.
    """

    kind = "trajectory"
    has_steps = True

    horizon: int
    is_absorbing: bool
    observation_shape: tuple[int, ...]
    given_observation_location: tuple[float, ...]
    given_observation_scale: tuple[float, ...]
    actions: ActionSpace

    @property
    def words(self) -> str:
        return "trajectories"

    @property
    def takes_chains(self) -> bool:
        """Not: only actions could move, and through states that the environment alone makes."""
        return False

    @property
    def is_grid_sized(self) -> bool:
        return False

    @property
    def figure(self) -> Literal["rollouts"]:
        return "rollouts"

    @property
    def observation_size(self) -> int:
        """Number of coordinates of one observation."""
        return math.prod(self.observation_shape)

    @property
    def observation_location(self) -> Tensor:
        """Mean of the training observations in each coordinate (flattened), float32."""
        return torch.tensor(self.given_observation_location, dtype=torch.float32).expand(self.observation_size).clone()

    @property
    def observation_scale(self) -> Tensor:
        """Standard deviation of the training observations in each coordinate (flattened), float32."""
        return torch.tensor(self.given_observation_scale, dtype=torch.float32).expand(self.observation_size).clone()


def _expanded(values: tuple[float, ...], size: int) -> tuple[float, ...]:
    return values * size if len(values) == 1 else values


def space_of(event: Event) -> Space:
    """The space that an event describes.

    Raises:
        ValueError: if the event is not valid, as :func:`~lightning_irl.spaces.event.validate_event` says.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> space = space_of(make_event("image", [1, 8, 8], support="box"))
        >>> space.dimension, space.edges, space.figure, space.is_counted
        (64, (0.0, 1.0), 'grid', False)
    """
    validate_event(event)
    kind = event["kind"]
    is_counted = kind != "trajectory" and event["base_measure"] == "counting"
    common: dict[str, Any] = {
        "shape": tuple(event["shape"]),
        "base_measure": event["base_measure"],
        "support": support_of(event),
        "lattice": Lattice(event) if is_counted else None,
        "given_location": tuple(event["location"]),
        "given_scale": tuple(event["scale"]),
    }
    if kind == "point":
        return PointSpace(**common)
    if kind == "image":
        grey_range = event.get("grey_range")
        return ImageSpace(**common, grey_range=None if grey_range is None else tuple(grey_range))
    return TrajectorySpace(
        **common,
        horizon=event["horizon"],
        is_absorbing=event["absorbing"],
        observation_shape=tuple(event["observation_shape"]),
        given_observation_location=tuple(event["observation_location"]),
        given_observation_scale=tuple(event["observation_scale"]),
        actions=ActionSpace(
            number=event["num_actions"],
            shape=tuple(event["action_shape"]),
            low=tuple(event["action_low"]),
            high=tuple(event["action_high"]),
            is_clipped=event["base_measure"] == "clipped",
        ),
    )


def trajectory_space(event: Event, user: str, instead: str = "") -> TrajectorySpace:
    """The space of an event of trajectories.

    Args:
        event: what one sample looks like.
        user: the beginning of the message, which ends with the kind: ``PPO trains a policy, but the data``.
        instead: what to do about it, for the message.

    Raises:
        ValueError: if the event is of another kind.
    """
    return cast(TrajectorySpace, _required(space_of(event), TrajectorySpace, user, instead))


def image_space(event: Event, user: str, instead: str = "") -> ImageSpace:
    """The space of an event of images; arguments and errors as of :func:`trajectory_space`."""
    return cast(ImageSpace, _required(space_of(event), ImageSpace, user, instead))


def _required(space: Space, wanted: type[Space], user: str, instead: str) -> Space:
    if not isinstance(space, wanted):
        raise ValueError(f"{user} is of kind {space.kind}" + (f"; {instead}" if instead else ""))
    return space
