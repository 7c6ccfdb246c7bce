"""What components exchange: a tensor, or a NamedTuple of tensors, batch first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from lightning_irl.spaces.trajectory import Trajectory

Samples: TypeAlias = Tensor | Trajectory


def each(function: Callable[[Tensor], Tensor], samples: Samples) -> Samples:
    """Apply a function to every tensor of the samples."""
    if isinstance(samples, Tensor):
        return function(samples)
    return type(samples)(*(function(part) for part in samples))


def count(samples: Samples) -> int:
    """How many samples there are, B.

    Example:
        >>> count(torch.zeros(5, 2))
        5
    """
    return len(samples[0] if isinstance(samples, tuple) else samples)


def join(parts: Sequence[Samples]) -> Samples:
    """Samples of all parts, one after another."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    return type(first)(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def select(samples: Samples, index: Tensor) -> Samples:
    """The samples at the given places (K,), long."""
    return each(lambda part: part[index], samples)


def pieces(samples: Samples, size: int) -> Iterator[Samples]:
    """The samples in pieces of at most ``size``."""
    if isinstance(samples, Tensor):
        yield from samples.split(size)
    else:
        yield from (type(samples)(*parts) for parts in zip(*(part.split(size) for part in samples), strict=True))


def doubled(samples: Samples) -> Samples:
    """The same in float64; what is not floating stays."""
    return each(lambda part: part.double() if part.is_floating_point() else part, samples)
