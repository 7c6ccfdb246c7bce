"""Numbers that have no density, or lose detail in single precision: repeated, on a lattice, or too close."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LOOKED_AT = 200_000  # values of an array, drawn at random where there are more
FEWEST = 20  # values below which repeats are not reported
MOST = 0.05  # share of one value above which it is reported
KEPT = 0.9  # share of distinct values that single precision must keep


def what_single_loses(columns: NDArray[Any]) -> str | None:
    """What columns (N, d) lose in single precision: how many distinct values become one; None if little.

    Example:
        >>> what_single_loses(1e8 + np.arange(40.0)[:, None])
        'of 40 distinct values of coordinate 0, single precision keeps 6 (they go from 1e+08 to 1.0000004e+08)'
        >>> what_single_loses(np.arange(40.0)[:, None]) is None
        True
    """
    if columns.dtype.kind == "f" and columns.dtype.itemsize <= 4:
        return None
    rows = columns[_places(len(columns), max(FEWEST, LOOKED_AT // max(columns.shape[1], 1)))]
    low, high = rows.min(0).astype(np.float64), rows.max(0).astype(np.float64)
    # Values can coincide only where a step of single precision is large against their spread.
    risky = np.spacing(np.maximum(abs(low), abs(high)).astype(np.float32)) * len(rows) > 0.01 * (high - low)
    worst: tuple[float, int, int, int] | None = None
    for place in np.flatnonzero(risky & (high > low)).tolist():
        before, after = len(np.unique(rows[:, place])), len(np.unique(rows[:, place].astype(np.float32)))
        if after < KEPT * before and (worst is None or after / before < worst[0]):
            worst = after / before, place, before, after
    if worst is None:
        return None
    _, place, before, after = worst
    return (
        f"of {before:,} distinct values of coordinate {place}, single precision keeps {after:,} (they go from "
        f"{low[place]:.8g} to {high[place]:.8g})"
    )


def repeats(values: NDArray[Any]) -> str | None:
    """How numbers (N,) repeat as no density would, in words; None if they do not.

    Example:
        >>> repeats(np.arange(60) % 3 / 2)
        '3 distinct values, 0.5 apart, from 0 to 1'
        >>> repeats(np.linspace(0, 1, 60)) is None
        True
    """
    if len(values) < FEWEST:
        return None
    distinct, counts = np.unique(values[_places(len(values), LOOKED_AT)], return_counts=True)
    looked_at, low, high = int(counts.sum()), float(distinct[0]), float(distinct[-1])
    if len(distinct) == 1:
        return None  # a constant, which is reported elsewhere
    if len(distinct) > looked_at / 2:
        share = counts.max() / looked_at
        return f"{share:.0%} of values are {distinct[counts.argmax()]:.5g}" if share >= MOST else None
    step = spacing(distinct)
    apart = f", {step:.5g} apart" if step else ""
    return f"{len(distinct):,} distinct values{apart}, from {low:.5g} to {high:.5g}"


def spacing(distinct: NDArray[Any]) -> float | None:
    """The step of the lattice that sorted numbers lie on, None if they lie on none."""
    distinct = distinct.astype(np.float64)
    step = float(np.diff(distinct).min())
    places = (distinct - distinct[0]) / step
    step = float((distinct[-1] - distinct[0]) / max(round(places[-1]), 1))
    places = (distinct - distinct[0]) / step
    return step if float(abs(places - places.round()).max()) < 0.05 else None


def _places(size: int, most: int) -> Any:
    return slice(None) if size <= most else np.random.default_rng(0).choice(size, most, replace=False)
