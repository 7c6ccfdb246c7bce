"""What one sample looks like: a plain dict that the data module says once and every component is built from.

An event is a ``dict`` of ``str``, ``int``, ``float`` and ``list`` so that it lives in a checkpoint that loads with
``weights_only=True`` and in a YAML file. :func:`make_event` builds one, :func:`validate_event` checks one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

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
    location: Sequence[float] = (0.0,),
    scale: Sequence[float] = (1.0,),
) -> Event:
    """Describe one sample.

    Args:
        kind: ``point``, ``image`` or ``trajectory``.
        shape: shape of one sample, without the batch dimension.
        support: ``real`` (all of R^d) or ``box`` ([low, high] in every coordinate).
        low: lower edge of the box; unused on ``real``.
        high: upper edge of the box; unused on ``real``.
        base_measure: what densities are with respect to: ``lebesgue``, ``counting`` or ``clipped``.
        location: mean of the training data, one value or one per coordinate (flattened).
        scale: standard deviation of the training data, one value or one per coordinate (flattened).

    Raises:
        ValueError: if a value is not allowed; the message names what was given and what is allowed.

    Example:
        >>> make_event("point", [2])["support"]
        'real'
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
    validate_event(event)
    return event


def validate_event(event: Event) -> None:
    """Check an event.

    Raises:
        ValueError: naming the field, what was given and what is allowed.
    """
    required = {"kind", "shape", "support", "base_measure", "location", "scale"}
    if missing := required - set(event):
        raise ValueError(f"event lacks {sorted(missing)}; build it with lightning_irl.event.make_event")
    for field, allowed in (("kind", KINDS), ("support", SUPPORTS), ("base_measure", BASE_MEASURES)):
        if event[field] not in allowed:
            raise ValueError(f"event {field} is {event[field]!r}; allowed: {', '.join(allowed)}")
    if not event["shape"] or any(not isinstance(size, int) or size < 1 for size in event["shape"]):
        raise ValueError(f"event shape is {event['shape']}; it must be a list of positive integers")
    size = dimension(event)
    for field in ("location", "scale"):
        if len(event[field]) not in (1, size):
            raise ValueError(f"event {field} has {len(event[field])} values; give 1 or {size} (one per coordinate)")
        if not all(math.isfinite(value) for value in event[field]):
            raise ValueError(f"event {field} holds a value that is not finite; look for NaN or Inf in the data")
    if min(event["scale"]) <= 0:
        raise ValueError(f"event scale has a value <= 0 ({min(event['scale'])}); a coordinate of the data is constant")
    if event["support"] == "box" and not event["low"] < event["high"]:
        raise ValueError(f"event box is [{event['low']}, {event['high']}]; low must be below high")


def dimension(event: Event) -> int:
    """Number of coordinates of one sample.

    Example:
        >>> dimension(make_event("image", [1, 8, 8]))
        64
    """
    return math.prod(event["shape"])


def per_coordinate(values: Sequence[float], event: Event) -> Tensor:
    """``location`` or ``scale`` of an event as a tensor of shape ``(d,)``, float32."""
    return torch.tensor(values, dtype=torch.float32).expand(dimension(event)).clone()
