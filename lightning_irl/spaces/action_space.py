"""What an action is: one of several, or numbers with or without bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class ActionUnits(NamedTuple):
    """Units in which the bounds of each coordinate (d,) of an action are -1 and 1; flattened, float32.

    A coordinate with one bound has its own unit, and lies one of it inside; one without is as it is.

    Attributes:
        centre: what is 0 in these units.
        reach: one unit.
        low: -1, or minus infinity where there is no bound.
        high: 1, or infinity.
    """

    centre: Tensor
    reach: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class ActionSpace:
    """What one action of a trajectory is.

    Attributes:
        number: of discrete actions; 0 for continuous ones.
        shape: of one action; () for discrete ones.
        low: lower bound of each coordinate (flattened), which may be infinite; () where none has any.
        high: upper bounds.
        is_clipped: whether a bound is an atom: the base measure is ``clipped``.
    """

    number: int
    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    is_clipped: bool

    @property
    def size(self) -> int:
        """Number of coordinates of one action, d; 1 for a discrete one."""
        return math.prod(self.shape)

    @property
    def has_bounds(self) -> bool:
        """Whether every coordinate of a continuous action has two finite bounds."""
        return bool(self.low) and all(map(math.isfinite, (*self.low, *self.high)))

    @property
    def has_uniform(self) -> bool:
        """Whether there are actions at random: discrete ones, or all bounds are finite."""
        return self.number > 0 or self.has_bounds

    @property
    def log_mass(self) -> float:
        """log of all actions' mass under the base measure: the largest entropy of a policy, in nats; inf if
        unbounded.
        """
        if self.number:
            return math.log(self.number)
        if not self.low:
            return math.inf
        atoms = 2 if self.is_clipped else 0
        return sum(math.log(high - low + atoms) for low, high in zip(self.low, self.high, strict=True))

    def units(self, size: int) -> ActionUnits:
        """Units for actions of so many coordinates, d or the number of discrete actions."""
        if not self.low:
            low, high = torch.full((size,), -math.inf), torch.full((size,), math.inf)
        else:
            low, high = torch.tensor(self.low), torch.tensor(self.high)
        has_low, has_high = torch.isfinite(low), torch.isfinite(high)
        # of one bound: the box of reach 1 that begins there
        low, high = (
            torch.where(has_low, low, torch.where(has_high, high - 2, -1.0)),
            torch.where(has_high, high, torch.where(has_low, low + 2, 1.0)),
        )
        return ActionUnits(
            (low + high) / 2,
            (high - low) / 2,
            torch.where(has_low, -1.0, -math.inf),
            torch.where(has_high, 1.0, math.inf),
        )
