"""What a data module says of its demonstrations, and what of a batch that it serves is samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from textwrap import shorten
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from lightning_irl.errors import UserError
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import count, device_of
from lightning_irl.spaces.trajectory import Trajectory


class Splits(NamedTuple):
    """One thing for each part of the data, such as its raw demonstrations."""

    train: Any
    val: Any
    test: Any


class KnownDensity(Protocol):
    """A density that is known in closed form."""

    def log_prob(self, samples: Tensor) -> Tensor:
        """Log density of samples (B, *shape); (B,), in nats."""


class DataDescription:
    """What views and reports look for in a data module; each has the default of a data module that does not say.

    Attributes:
        event: what one sample looks like as it is served, by :func:`~lightning_irl.spaces.event.make_event`. The
            command line builds the view from it. None: the view's own event is taken on trust.
        name: what reports call the data, such as in the name of a feature network; None for the class's name.
        steps_per_epoch: batches in an epoch, over which schedules and validation intervals are checked; None where it
            is not known.
        splits: demonstrations of each part, if they are in memory. Trajectories are compared with the environment
            before training.
        has_actions: whether trajectories have recorded actions. Without them a view that needs log q of demonstrations
            is refused.
        recorded_in: name of the environment in which trajectories were recorded, such as its gymnasium id; a warning
            says if the policy acts in another one.
        expert_return: mean true return of the demonstrations, for the normalised return; NaN where it is not known.
        density: the true density of points in the plane, for the Kullback-Leibler divergences of ``kl/``; None where
            it is not known.
        labels: classes of the images of each part, each (N,) and integer, or None for a part without them. A network
            of features is trained on them.
        num_levels: number of grey levels of images. With it, likelihoods are also given in bits per dimension. None:
            only where serving changes the scale of the images (their ``log_det`` is not 0).
    """

    event: Event | None = None
    name: str | None = None
    steps_per_epoch: int | None = None
    splits: Splits | None = None
    has_actions: bool = True
    recorded_in: str | None = None
    expert_return: float = math.nan
    density: KnownDensity | None = None
    labels: Splits | None = None
    num_levels: int | None = None

    def take_bounds(self, event: Event) -> None:
        """Take the bounds of actions from the environment, if the data has none of its own; nothing by default.

        Args:
            event: of the sampler, with the environment's bounds.
        """


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_parts(value: Any) -> bool:
    return all(hasattr(value, part) for part in Splits._fields)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


# What a value must be where a data module says it, and the words for it.
ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "event": (lambda value: isinstance(value, dict), "a dict made by make_event or make_trajectory_event"),
    "name": (lambda value: isinstance(value, str), "a string"),
    "steps_per_epoch": (_is_count, "a number of batches, at least 1"),
    "splits": (_is_parts, "Splits(train, val, test)"),
    "has_actions": (lambda value: isinstance(value, bool), "True or False"),
    "recorded_in": (lambda value: isinstance(value, str), "the name of an environment"),
    "expert_return": (_is_number, "a number"),
    "density": (lambda value: callable(getattr(value, "log_prob", None)), "an object with log_prob(samples)"),
    "labels": (_is_parts, "Splits(train, val, test), each integers (N,) or None"),
    "num_levels": (lambda value: _is_count(value) and value >= 2, "a number of grey levels, at least 2"),
    "take_bounds": (callable, "a method"),
}


def describe(data: Any) -> DataDescription:
    """What a data module says, with defaults for the rest.

    Args:
        data: any data module, or None. Of one that is no :class:`DataDescription`, an attribute counts if its name and
            its kind are those there: it may have others of the same name.

    Example:
        >>> describe(None).expert_return
        nan
    """
    if isinstance(data, DataDescription):
        return data
    said = {name: getattr(data, name, None) for name in ALLOWED}
    found = DataDescription()
    for name, (fits, _) in ALLOWED.items():
        if said[name] is not None and fits(said[name]):
            setattr(found, name, said[name])
    return found


def check_description(data: Any) -> None:
    """Look at what a data module says, before it is used.

    Raises:
        UserError: naming the attribute, its value and what it must be.
    """
    if not isinstance(data, DataDescription):
        return
    for name, (fits, words) in ALLOWED.items():
        value = getattr(data, name)
        if value is not None and not fits(value):
            given = shorten(repr(value), 80, placeholder=" ...")
            raise UserError(f"data module {type(data).__name__} says {name} = {given}; it must be {words}, or None")


def as_batch(served: Any, event: Event, dtype: torch.dtype | None = None) -> Batch:
    """What a loader serves as a Batch.

    Args:
        served: a :class:`~lightning_irl.spaces.batch.Batch`; samples (B, *shape); or a list or tuple that starts with
            samples, such as a ``TensorDataset`` gives, or images with labels. The rest of it is left out. Samples that
            are served without their log-determinant are taken as they are: it is 0.
        event: of the view.
        dtype: to which samples served outside of a Batch are converted; None for none.

    Raises:
        UserError: if there are no samples of the event in it, naming what is there and what to return.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> images, classes = torch.zeros(5, 1, 8, 8), torch.arange(5)
        >>> as_batch([images, classes], make_event("image", [1, 8, 8])).log_det
        tensor([0., 0., 0., 0., 0.])
    """
    if isinstance(served, Batch):
        return served
    kind: type = Trajectory if event["kind"] == "trajectory" else Tensor
    has_more = isinstance(served, (list, tuple)) and not isinstance(served, kind) and len(served) > 0
    samples = served[0] if has_more else served
    if not isinstance(samples, kind):
        raise UserError(f"the data serves {_in_words(served)}; {_wanted(event)}")
    if isinstance(samples, Tensor):
        _check_points(samples, event)
        samples = samples if dtype is None else samples.to(dtype)
    return Batch(samples, torch.zeros(count(samples), dtype=dtype, device=device_of(samples)))


def _check_points(samples: Tensor, event: Event) -> None:
    shape = list(samples.shape)
    if shape[1:] != event["shape"] or not shape:
        raise UserError(
            f"the data serves samples of shape {shape[1:]} in a tensor of shape {shape}, the event says "
            f"{event['shape']}; {_wanted(event)}"
        )
    if not samples.is_floating_point():
        raise UserError(
            f"the data serves samples of type {str(samples.dtype).removeprefix('torch.')}, but costs and densities are "
            "of real numbers: "
            "convert them where they are served, images to [0, 1] for instance"
        )


def _wanted(event: Event) -> str:
    shape = ", ".join(map(str, ["B", *event["shape"]]))
    first = "a Trajectory" if event["kind"] == "trajectory" else f"a tensor ({shape})"
    return (
        f"a view takes {first}, a list or tuple that starts with it, or Batch(samples, log_det): return one "
        "from the dataset, from the loader's collate_fn or from on_before_batch_transfer of the data module"
    )


def _in_words(served: Any) -> str:
    """What was served, by type and by names or shapes of its parts."""
    name = type(served).__name__
    if isinstance(served, Mapping):
        return f"a {name} with {', '.join(map(str, served))}"
    if isinstance(served, (list, tuple)):
        parts = [f"{type(part).__name__}{list(part.shape) if isinstance(part, Tensor) else ''}" for part in served[:4]]
        return f"a {name} of {', '.join(parts) or 'nothing'}{', ...' * (len(served) > 4)}"
    return f"a {name} of shape {list(served.shape)}" if isinstance(served, Tensor) else f"a {name}"
