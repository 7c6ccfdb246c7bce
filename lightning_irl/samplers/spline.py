"""Rational-quadratic splines, elementwise and in both directions."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LOG_LEAST = math.log(1e-3)  # of a slope, an affine scale, and a piece against an average one


def bounded(value: Tensor, times: float = 1.0) -> Tensor:
    """A logarithm on R, brought smoothly into (log 1000 / times) of 0, where it is nearly what it was."""
    return value / (1 + (value * (times / LOG_LEAST)).abs())


def rational_quadratic_spline(
    inputs: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor, bound: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    r"""A monotonic spline of [-bound, bound] onto itself, of slope 1 at its ends and the identity beyond.

    Knots lie along a middle dimension, so that every step is over long contiguous rows, and both directions take their
    slope from the same piece: faster than with knots last and an inverse that is then evaluated forwards
    (benchmarks/flow_speed.py).

    Args:
        inputs: (C, N).
        widths: logits of the K pieces' widths, of each input's own spline (C, K, N).
        heights: of their heights, likewise.
        slopes: logarithms of the slopes between them (C, K - 1, N).
        bound: where the spline ends.
        inverse: whether to invert it.

    Returns:
        Outputs (C, N), and the logarithm of the slope there (C, N), in nats.

    Source:
        Durkan et al. 2019, arXiv 1906.04032, equations 4 to 8. The same function of the same parameters as zuko's
        ``MonotonicRQSTransform``.
    """
    widths = bounded(widths, 2.0).softmax(1) * (2 * bound)
    heights = bounded(heights, 2.0).softmax(1) * (2 * bound)
    slopes = functional.pad(bounded(slopes), (0, 0, 1, 1)).exp()
    rights, tops = widths.cumsum(1), heights.cumsum(1)

    inside = inputs.abs() < bound
    moved = inputs + bound
    piece = ((tops if inverse else rights)[:, :-1] < moved[:, None]).sum(1, keepdim=True)
    width, height, right, top, low, high = (
        values.gather(1, index).squeeze(1)
        for values, index in (
            (widths, piece),
            (heights, piece),
            (rights, piece),
            (tops, piece),
            (slopes, piece),
            (slopes, piece + 1),
        )
    )
    left, bottom, slope = right - width, top - height, height / width
    bend = low + high - 2 * slope
    if inverse:
        up = torch.where(inside, moved - bottom, 0)
        b = height * low - up * bend
        a = height * (slope - low) + up * bend
        share = 2 * slope * up / (b + (b.square() + 4 * a * slope * up).sqrt())
    else:
        share = torch.where(inside, moved - left, 0) / width
    rest = 1 - share
    both = share * rest
    denominator = slope + bend * both
    log_slope = (
        slope.square() * (2 * slope * both + low * rest.square() + high * share.square()) / denominator.square()
    ).log()
    if inverse:
        outputs, log_slope = left + share * width, -log_slope
    else:
        outputs = bottom + height * (slope * share.square() + low * both) / denominator
    return torch.where(inside, outputs - bound, inputs), torch.where(inside, log_slope, 0)
