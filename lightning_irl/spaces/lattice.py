"""The lattice on which samples of discrete levels lie: points of a box, and the integers that they stand for."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lightning_irl.spaces.event import Event

OFF_LATTICE = 0.1  # share of a level's width within which a sample is its level's: rounding, of bfloat16 too


class Lattice:
    """Levels 0 .. n - 1 as the middles of n equal parts of the event's box, in every coordinate.

    Args:
        event: of base measure counting, with its number of levels.

    Attributes:
        levels: values of a coordinate, n.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> lattice = Lattice(make_event("point", [3], support="box", base_measure="counting", levels=4))
        >>> lattice.to_samples(torch.tensor([[0, 1, 3]]), torch.float32)
        tensor([[0.1250, 0.3750, 0.8750]])
    """

    def __init__(self, event: Event) -> None:
        self.levels: int = event["levels"]
        self.low, self.width = event["low"], event["high"] - event["low"]
        self.shape, self.dimension = tuple(event["shape"]), math.prod(event["shape"])

    @property
    def num_states(self) -> int:
        """Number of different samples, n^d."""
        return self.levels**self.dimension

    def to_samples(self, levels: Tensor, dtype: torch.dtype) -> Tensor:
        """Levels (B, *shape), long, as samples of the same shape."""
        return self.low + self.width * (levels.to(dtype) + 0.5) / self.levels

    def to_levels(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest levels of samples (B, *shape), long, of the same shape; and whether a sample is on the lattice
        (B,).
        """
        exact = (samples - self.low) * (self.levels / self.width) - 0.5
        nearest = exact.nan_to_num().round().clamp(0, self.levels - 1)
        return nearest.long(), ((exact - nearest).abs() <= OFF_LATTICE).flatten(1).all(-1)

    def states(self, batch_size: int) -> Iterator[Tensor]:
        """Levels (B, *shape) of every sample there is, B at most ``batch_size``; the last coordinate changes first."""
        place = self.levels ** torch.arange(self.dimension - 1, -1, -1)
        for start in range(0, self.num_states, batch_size):
            index = torch.arange(start, min(start + batch_size, self.num_states))
            yield (index[:, None] // place % self.levels).view(-1, *self.shape)
