"""What one sample looks like: a plain dict made by the data module, from which every component is built.

An event is a ``dict`` of ``str``, ``int``, ``float`` and ``list`` so that it lives in a checkpoint that loads with
``weights_only=True`` and in a YAML file. :func:`make_event` builds one, :func:`validate_event` checks one.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

Event = dict[str, Any]

KINDS = ("point", "image", "trajectory")
SUPPORTS = ("real", "box")
BASE_MEASURES = ("lebesgue", "counting", "clipped")


def make_event(
    kind: str,
    shape: Sequence[int],
    *,
    support: str = "real",
    low: float = 0.0,
    high: float = 1.0,
    base_measure: str = "lebesgue",
    levels: int | None = None,
    location: Sequence[float] = (0.0,),
    scale: Sequence[float] = (1.0,),
    grey_range: Sequence[float] | None = None,
) -> Event:
    """Describe one sample.

    A counted sample (``base_measure`` ``counting``) has a probability, not a density: each coordinate is one of n
    ``levels``, served as the middle of the n equal parts of the box, low + (high - low) (k + 1/2) / n with k = 0 .. n -
    1. It is thereby a point of the box, which every cost takes as it is.

    Args:
        kind: ``point`` or ``image``; trajectories have :func:`make_trajectory_event`.
        shape: shape of one sample, without the batch dimension.
        support: ``real`` (all of R^d) or ``box`` ([low, high] in every coordinate).
        low: lower edge of the box; unused on ``real``.
        high: upper edge of the box; unused on ``real``.
        base_measure: what densities are with respect to: ``lebesgue``, ``counting`` or ``clipped``.
        levels: values of a coordinate that is counted, at least 2; for ``counting`` alone, which needs a box.
        location: mean of the training data, one value or one per coordinate (flattened).
        scale: standard deviation of the training data, one value or one per coordinate (flattened).
        grey_range: values shown as black and white, for images on all of R^d that are not logits of grey levels.

    Raises:
        ValueError: if a value is not allowed; the message names what was given and what is allowed.

    Example:
        >>> make_event("point", [2])["support"]
        'real'
        >>> make_event("image", [1, 8, 8], support="box", base_measure="counting", levels=17)["levels"]
        17
    """
    event: Event = {
        "kind": kind,
        "shape": [int(size) for size in shape],
        "support": support,
        "base_measure": base_measure,
        "location": [float(value) for value in location],
        "scale": [float(value) for value in scale],
    }
    if support == "box":
        event |= {"low": float(low), "high": float(high)}
    if levels is not None:
        event["levels"] = levels
    if grey_range is not None:
        event["grey_range"] = [float(value) for value in grey_range]
    validate_event(event)
    return event


def make_trajectory_event(
    horizon: int,
    observation_shape: Sequence[int],
    *,
    num_actions: int = 0,
    action_shape: Sequence[int] = (),
    action_low: Sequence[float] = (),
    action_high: Sequence[float] = (),
    base_measure: str | None = None,
    absorbing: bool = False,
    observation_location: Sequence[float] = (0.0,),
    observation_scale: Sequence[float] = (1.0,),
) -> Event:
    """Describe a trajectory: what is observed, what is done, for how long.

    Args:
        horizon: steps of every trajectory.
        observation_shape: shape of one observation.
        num_actions: number of discrete actions; 0 for continuous ones.
        action_shape: shape of one action; empty for discrete ones.
        action_low: lower bound of each coordinate of an action (flattened), which may be infinite; empty where none has
            any.
        action_high: upper bound; empty where none has any.
        base_measure: what log pi is with respect to: ``counting`` for discrete actions; for continuous ones ``clipped``
            (interior density and an atom at each bound, the default where there are bounds) or ``lebesgue`` (the
            default without).
        absorbing: whether an episode can end early; the steps after its end are then spent in an absorbing state.
        observation_location: mean of the training observations, one value or one per coordinate (flattened).
        observation_scale: their standard deviation, one value or one per coordinate (flattened).

    Raises:
        ValueError: if a value is not allowed; the message names what was given and what is allowed.

    Example:
        >>> event = make_trajectory_event(200, [3], action_shape=[1], action_low=[-2], action_high=[2])
        >>> event["base_measure"]
        'clipped'
    """
    if base_measure is None:
        base_measure = "counting" if num_actions else "clipped" if len(action_low) else "lebesgue"
    event: Event = {
        "kind": "trajectory",
        "shape": [int(horizon), *(int(size) for size in action_shape)],
        "support": "real",
        "base_measure": base_measure,
        "location": [0.0],
        "scale": [1.0],
        "horizon": int(horizon),
        "absorbing": bool(absorbing),
        "observation_shape": [int(size) for size in observation_shape],
        "observation_location": [float(value) for value in observation_location],
        "observation_scale": [float(value) for value in observation_scale],
        "num_actions": int(num_actions),
        "action_shape": [int(size) for size in action_shape],
        "action_low": [float(value) for value in action_low],
        "action_high": [float(value) for value in action_high],
    }
    validate_event(event)
    return event


def validate_event(event: Event) -> None:
    """Check an event.

    Raises:
        ValueError: naming the field, what was given and what is allowed.
    """
    if not isinstance(event, dict):
        raise ValueError(
            f"event is {event!r}; a data module must say what one sample looks like. Set it in the constructor, for "
            'points in the plane self.event = lightning_irl.spaces.make_event("point", [2])'
        )
    required = {"kind", "shape", "support", "base_measure", "location", "scale"}
    if missing := required - set(event):
        raise ValueError(f"event lacks {sorted(missing)}; build it with lightning_irl.spaces.event.make_event")
    for field, allowed in (("kind", KINDS), ("support", SUPPORTS), ("base_measure", BASE_MEASURES)):
        if event[field] not in allowed:
            raise ValueError(f"event {field} is {event[field]!r}; allowed: {', '.join(allowed)}")
    if not event["shape"] or any(not isinstance(size, int) or size < 1 for size in event["shape"]):
        raise ValueError(f"event shape is {event['shape']}; it must be a list of positive integers")
    size = math.prod(event["shape"])
    for field in ("location", "scale"):
        if len(event[field]) not in (1, size):
            raise ValueError(f"event {field} has {len(event[field])} values; give 1 or {size} (one per coordinate)")
        if not all(math.isfinite(value) for value in event[field]):
            raise ValueError(f"event {field} holds a value that is not finite; look for NaN or Inf in the data")
    if min(event["scale"]) <= 0:
        raise ValueError(f"event scale has a value <= 0 ({min(event['scale'])}); a coordinate of the data is constant")
    if event["support"] == "box" and not event["low"] < event["high"]:
        raise ValueError(f"event box is [{event['low']}, {event['high']}]; low must be below high")
    _validate_levels(event)
    _validate_grey_range(event)
    if event["kind"] == "trajectory":
        _validate_trajectory(event)


def _validate_levels(event: Event) -> None:
    levels = event.get("levels")
    if event["kind"] == "trajectory" or event["base_measure"] != "counting":
        if levels is not None:
            raise ValueError(
                f"event has {levels} levels, kind {event['kind']} and base measure {event['base_measure']}; only "
                "points and images with base_measure=counting have levels"
            )
        return
    if not isinstance(levels, int) or isinstance(levels, bool) or levels < 2:
        raise ValueError(
            f"event counts {event['kind']}s and its levels is {levels!r}; give the number of values of a coordinate, "
            "an int of at least 2, such as levels=256"
        )
    if event["support"] != "box":
        raise ValueError(f"event counts levels on support {event['support']!r}; they are points of a box: support=box")


def _validate_grey_range(event: Event) -> None:
    if (grey_range := event.get("grey_range")) is None:
        return
    if event["kind"] != "image" or event["support"] != "real":
        raise ValueError(
            f"event has a grey_range, kind {event['kind']} and support {event['support']}; it is of images on real"
        )
    if len(grey_range) != 2 or not -math.inf < grey_range[0] < grey_range[1] < math.inf:
        raise ValueError(f"event grey_range is {grey_range}; give the values shown black and white, the lower first")


def _validate_trajectory(event: Event) -> None:
    if "horizon" not in event:
        raise ValueError("event of a trajectory lacks its horizon; build it with event.make_trajectory_event")
    bounds = event["action_low"], event["action_high"]
    size = math.prod(event["action_shape"])
    if event["num_actions"]:
        if event["num_actions"] < 2 or event["action_shape"] or event["base_measure"] != "counting":
            raise ValueError(
                f"event has {event['num_actions']} discrete actions of shape {event['action_shape']} with base measure "
                f"{event['base_measure']}; discrete actions are at least 2, of shape [], counted"
            )
        return
    if not event["action_shape"] or event["base_measure"] == "counting":
        raise ValueError(
            f"event has continuous actions of shape {event['action_shape']} with base measure {event['base_measure']}; "
            "give a shape such as [1], and clipped or lebesgue; or num_actions for discrete actions"
        )
    if any(len(bound) not in (0, size) for bound in bounds) or len(bounds[0]) != len(bounds[1]):
        raise ValueError(f"event action bounds are {bounds[0]} and {bounds[1]}; give {size} values each, or none")
    if not all(low < high for low, high in zip(*bounds, strict=True)):
        raise ValueError(f"event action bounds are {bounds[0]} and {bounds[1]}; low must be below high")
    if event["base_measure"] == "clipped" and not bounds[0]:
        raise ValueError("event actions are clipped, but have no bounds; give action_low and action_high")
    for field in ("observation_location", "observation_scale"):
        if len(event[field]) not in (1, math.prod(event["observation_shape"])):
            raise ValueError(f"event {field} has {len(event[field])} values; give 1 or one per coordinate")
    if min(event["observation_scale"]) <= 0:
        raise ValueError(f"event observation_scale has a value <= 0: {min(event['observation_scale'])}")


def without_guesses(event: Event) -> Event:
    """An event without the list of its fields that are only guesses from the data (``guessed``)."""
    return {field: value for field, value in event.items() if field != "guessed"}


def __getattr__(name: str) -> Any:
    """Functions that were here before an event's questions moved to its space; nothing here needs them."""
    questions = importlib.import_module("lightning_irl.spaces.questions")
    if name not in questions.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(questions, name)
