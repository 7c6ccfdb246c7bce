"""Arrays from what people have: lists, tensors, nulls."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


def as_array(part: Any) -> Any:
    """An array from a list or a tensor; None and a reason (a ValueError) are returned as they are."""
    if part is None or isinstance(part, (np.ndarray, ValueError)):
        return part if not isinstance(part, np.ndarray) or part.dtype != object else _as_numbers(part)
    if isinstance(part, Tensor):
        part = part.detach().cpu()
        return (part.float() if part.dtype in (torch.bfloat16, torch.float16) else part).numpy()
    try:
        array = np.asarray(part)
    except ValueError as error:  # rows of different lengths
        return ValueError(f"not an array of numbers: {error}")
    return _as_numbers(array) if array.dtype == object else array


def _as_numbers(array: Array) -> Array:
    """Objects as numbers where they are numbers; None becomes NaN."""
    try:
        return array.astype(np.float64)
    except (ValueError, TypeError):
        return array


def as_integers(part: Any) -> Any:
    """Actions; integers of shape (T, 1) are discrete ones (T,)."""
    is_column = isinstance(part, np.ndarray) and part.dtype.kind in "iu" and part.ndim == 2 and part.shape[1] == 1
    return part[:, 0] if is_column else part


def as_flag(name: str, index: int, value: Any) -> bool | None:
    """Whether the environment ended an episode; None and NaN mean that it is not known."""
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return None
    if np.ndim(value):
        raise ValueError(f"{name}, trajectory {index}: terminal is of shape {list(np.shape(value))}; give one value")
    if value not in (0, 1):
        raise ValueError(
            f"{name}, trajectory {index}: terminal is {value!r}; allowed: true, false, or null for not known"
        )
    return bool(value)


def length(part: Any) -> int:
    """Number of rows of an array; 0 for a reason."""
    return 0 if isinstance(part, ValueError) else len(part)


def is_nan(values: Array) -> bool:
    """Whether all values are NaN."""
    return values.dtype.kind == "f" and bool(np.isnan(values).all())


def with_last_added(rewards: Any) -> Any:
    """Rewards with the last one added to the one before it as well."""
    if not isinstance(rewards, np.ndarray) or len(rewards) < 2:
        return rewards
    summed = rewards.copy()
    summed[-2] += rewards[-1]
    return summed
