"""zuko's transforms with an inverse whose density comes from the same pass.

zuko first inverts and then transforms the result again for the density, which takes a second pass of every network and
spline and enlarges the graph by a third.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, constraints
from zuko.flows import MaskedAutoregressiveTransform
from zuko.flows.coupling import GeneralCouplingTransform

from lightning_irl.samplers.spline import rational_quadratic_spline


class BothWays(Transform):
    """A transform that runs in either direction by :meth:`call_and_ladj`; its inverse is itself, reversed."""

    is_inverse = False

    @property
    def inv(self) -> BothWays:
        turned = copy.copy(self)
        turned.is_inverse = not self.is_inverse
        return turned

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class Spline(BothWays):
    """:func:`~lightning_irl.samplers.spline.rational_quadratic_spline` of values (*, C), given parameters (*, C, K)."""

    domain = codomain = constraints.real
    bijective = True

    def __init__(self, widths: Tensor, heights: Tensor, slopes: Tensor, bound: float) -> None:
        super().__init__()
        self.parameters, self.bound = (widths, heights, slopes), bound

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        widths, heights, slopes = (
            part.expand(*x.shape, -1).flatten(0, -2).T.contiguous()[None] for part in self.parameters
        )
        values = x.flatten()[None]
        found, log_slope = rational_quadratic_spline(values, widths, heights, slopes, self.bound, self.is_inverse)
        return found.view(x.shape), log_slope.view(x.shape)


class _Coupling(BothWays):
    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, meta: Callable[[Tensor], Transform], halves: Tensor, order: Tensor, num_kept: int) -> None:
        super().__init__()
        self.meta, self.halves, self.order, self.num_kept = meta, halves, order, num_kept

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        kept, changed = x[..., self.halves].tensor_split([self.num_kept], -1)
        transform: Any = self.meta(kept)
        changed, log_det = (transform.inv if self.is_inverse else transform).call_and_ladj(changed)
        return torch.cat([kept, changed], -1)[..., self.order], log_det


class _Autoregressive(BothWays):
    """Backwards, the networks of the last pass have already seen all that they depend on, so that its slopes are the
    inverse's.
    """

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, meta: Callable[[Tensor], Any], passes: int) -> None:
        super().__init__()
        self.meta, self.passes = meta, passes

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if not self.is_inverse:
            moved, log_det = self.meta(x).call_and_ladj(x)
            return moved, log_det
        moved = torch.zeros_like(x)
        for _ in range(self.passes - 1):
            moved = self.meta(moved).inv(x)
        moved, log_det = self.meta(moved).inv.call_and_ladj(x)
        return moved, log_det


class CouplingLayer(GeneralCouplingTransform):  # type: ignore[misc]
    """zuko's coupling layer, whose transform goes :class:`BothWays`; where the halves are is found once, not in every
    call.
    """

    halves: Tensor
    order: Tensor

    def __init__(self, features: int, **options: Any) -> None:
        super().__init__(features, **options)
        halves = (~self.mask).long().argsort(stable=True)  # the kept coordinates, then the changed ones
        self.num_kept = int(self.mask.sum())
        self.register_buffer("halves", halves, persistent=False)
        self.register_buffer("order", halves.argsort(), persistent=False)

    def forward(self, c: Any = None) -> Transform:
        return _Coupling(partial(self.meta, c), self.halves, self.order, self.num_kept)


class AutoregressiveLayer(MaskedAutoregressiveTransform):  # type: ignore[misc]
    """zuko's masked autoregressive layer, whose transform goes :class:`BothWays`."""

    def forward(self, c: Any = None) -> Transform:
        return _Autoregressive(partial(self.meta, c), self.passes)
