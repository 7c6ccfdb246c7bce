r"""Images of integer grey levels, served as continuous images, and what that does to their density.

Raw data are grey levels 0 to L - 1 plus uniform noise, in [0, L) in every coordinate (dequantised). They are served as
:math:`x = \text{raw} / L` on the unit box (``scale``), or as :math:`\text{logit}(\alpha + (1 - 2 \alpha) x)` on all of
R^d (``logit``); or without noise, as the midpoints (k + 1/2) / L of their levels (``discrete``). A batch carries
``log_det`` = log |d served / d raw|, so that

.. math:: -(\log p(\text{served}) + \text{log\_det}) / (d \log 2)

is in bits per dimension of grey levels, whichever way images are served: an upper bound on those of the discrete images
under the same model (Theis et al. 2016, arXiv 1511.01844), and what papers report for 256 levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event, make_event

TRANSFORMS = ("scale", "logit", "discrete")
LOGIT_EDGE = 1e-6  # distance kept from 0 and 1, where the logit is infinite, if alpha is 0
COUNTED_AT_ONCE = 1024  # images
MOST_LEVELS = 2**16
OFF_LEVEL = 0.02  # share of a level by which a value may miss it: rounding


def default_alpha(channels: int) -> float:
    """Alpha of the logit: 1e-6 for grey images, 0.05 for others (Papamakarios et al. 2017, arXiv 1705.07057)."""
    return 1e-6 if channels == 1 else 0.05


def check_serving(transform: str, alpha: float = 0.0) -> None:
    """Check how images are to be served.

    Raises:
        ValueError: if the transform is not known, or alpha is not in [0, 0.5).
    """
    if transform not in TRANSFORMS:
        raise ValueError(f"transform is {transform!r}; allowed: {', '.join(TRANSFORMS)}")
    if not 0 <= alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; it must be at least 0 and below 0.5, such as 0.05 or 1e-6")


def serve(unit: Tensor, num_levels: int, transform: str, alpha: float = 0.0) -> Batch:
    r"""Images on the unit box (B, C, H, W) as served, with log |d served / d raw| (B,) in nats.

    Raw images are in grey levels. Discrete images have probabilities, which do not change with the scale: their
    log-determinant is 0.

    Args:
        unit: dequantised images over ``num_levels``, in [0, 1].
        num_levels: number of grey levels L.
        transform: ``scale``, ``logit`` or ``discrete``.
        alpha: of :math:`\text{logit}(\alpha + (1 - 2 \alpha) x)`; with 0, x is kept 1e-6 from 0 and 1.

    Source:
        Dinh et al. 2017, arXiv 1605.08803, section 4.1, with 1 - alpha; symmetric as Papamakarios et al. 2017, arXiv
        1705.07057.

    Example:
        >>> served, log_det = serve(torch.full((1, 1, 1, 1), 0.5), 256, "logit", alpha=0.05)
        >>> served.item(), round(log_det.item(), 4) == round(math.log(0.9 / 0.25 / 256), 4)
        (0.0, True)
    """
    if transform == "discrete":
        return Batch(unit, unit.new_zeros(len(unit)))
    size = unit[0].numel()
    log_det = unit.new_full((len(unit),), -math.log(num_levels) * size)
    if transform == "scale":
        return Batch(unit, log_det)
    if alpha == 0:
        unit = unit.clamp(LOGIT_EDGE, 1 - LOGIT_EDGE)
    shrink = 1 - 2 * alpha
    below, above = alpha + shrink * unit, alpha + shrink * (1 - unit)  # above is 1 - below, without its rounding near 1
    log_det = log_det + math.log(shrink) * size - (below.log() + above.log()).flatten(1).sum(-1)
    return Batch((below / above).log(), log_det)


def image_event(levels: Tensor, num_levels: int, transform: str, alpha: float = 0.0) -> Event:
    """The event of images served that way, with location and scale of integer training images (N, C, H, W).

    Example:
        >>> event = image_event(torch.tensor([[[[0, 3]]]]), num_levels=4, transform="scale")
        >>> event["shape"], event["support"], event["location"]
        ([1, 1, 2], 'box', [0.5])
    """
    counts = torch.zeros(num_levels, dtype=torch.float64)
    for some in levels.split(COUNTED_AT_ONCE):
        counts += torch.bincount(some.flatten().long(), minlength=num_levels)
    middles = (torch.arange(num_levels, dtype=torch.float64) + 0.5) / num_levels
    served = serve(middles.view(-1, 1, 1, 1), num_levels, transform, alpha).samples.flatten()
    mean = (counts * served).sum() / counts.sum()
    variance = (counts * (served - mean).square()).sum() / (counts.sum() - 1)
    location, scale = mean.float().tolist(), variance.sqrt().float().tolist()
    return make_event("image", levels.shape[1:], location=[location], scale=[scale], **served_as(transform, num_levels))


def served_as(transform: str, num_levels: int) -> dict[str, Any]:
    """Support and base measure of an event of images served that way."""
    is_counted = transform == "discrete"
    return {
        "support": "real" if transform == "logit" else "box",
        "base_measure": "counting" if is_counted else "lebesgue",
        "levels": num_levels if is_counted else None,
    }


def to_levels(values: NDArray[Any], num_levels: int, low: float | None = None, high: float | None = None) -> Tensor:
    """Grey levels 0 .. L - 1 of images (N, C, H, W), as integers, from however they are scaled.

    Args:
        values: levels themselves; or k / (L - 1) in [0, 1], if some are not integers and none is above 1; or evenly
            spaced between ``low`` and ``high``.
        num_levels: number of grey levels L, from 2 to 65,536.
        low: the value of level 0, None to find it.
        high: the value of level L - 1.

    Raises:
        ValueError: if values are not on the levels; the message names one.

    Example:
        >>> to_levels(np.array([0, 0.5, 1]), 3).tolist(), to_levels(np.array([0, 2]), 3).tolist()
        ([0, 1, 2], [0, 2])
        >>> to_levels(np.array([-1.0, 1.0]), 256, low=-1, high=1).tolist()
        [0, 255]
    """
    if not 2 <= num_levels <= MOST_LEVELS:
        raise ValueError(f"levels is {num_levels}; the number of grey levels is from 2 to {MOST_LEVELS:,}, such as 256")
    top = num_levels - 1
    if low is None or high is None:
        low, high = 0.0, float(top)
        if values.dtype.kind == "b" or (values.dtype.kind == "f" and values.max() <= 1):
            high = 1.0
    if not low < high:
        raise ValueError(f"level 0 is {low} and level {top} is {high}; low must be below high")
    exact = (values.astype(np.float64) - low) * (top / (high - low))
    nearest = exact.round()
    away = abs(exact - nearest)
    if away.max() > OFF_LEVEL or nearest.min() < 0 or nearest.max() > top:
        wrong = (away > OFF_LEVEL) | (nearest < 0) | (nearest > top)
        raise ValueError(
            f"{wrong.mean():.1%} of values, such as {values[wrong].flat[0]:.6g}, "
            f"are not on the {num_levels} levels from {low:g} to {high:g}; "
            f"give levels 0 to {top}, or the values of darkest and brightest as low and high, or leave levels out"
        )
    return torch.from_numpy(nearest.astype(np.uint8 if num_levels <= 256 else np.int32))


class SeededNoise:
    """Uniform noise in [0, 1) for image i, a function of (seed, stream, i).

    No noise is kept in memory, and the order of the images does not matter.

    Args:
        shape: of one image.
        seed: of all the noise.
        stream: another number for another part of the data.

    Example:
        >>> noise = SeededNoise((1, 2, 2), seed=0, stream=1)
        >>> torch.equal(noise[[3, 5]][1], noise[[5]][0])
        True
    """

    def __init__(self, shape: tuple[int, ...], seed: int, stream: int) -> None:
        self.shape, self.key = tuple(shape), np.array([seed % 2**64, stream], dtype=np.uint64)

    def __getitem__(self, indices: list[int]) -> Tensor:
        size = math.prod(self.shape)
        # Raw bits of a counter-based generator: the same with every version of NumPy, and image i starts at its own
        # counter.
        raw = [np.random.Philox(key=self.key, counter=[0, 0, 0, index]).random_raw(size) for index in indices]
        noise = (np.stack(raw) >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
        return torch.from_numpy(noise).view(-1, *self.shape)


class DequantisedImages(Dataset[Batch]):
    """Images of integer levels (N, C, H, W), served as continuous images, a whole batch at a time.

    Args:
        levels: integers from 0 to ``num_levels`` - 1; a tensor, or what gives one for a list of indices.
        num_levels: number of grey levels.
        transform: ``scale``, ``logit`` or ``discrete`` (the midpoint of each level's part of the unit box,
            without noise).
        noise: fixed uniform noise in [0, 1), shaped like ``levels``, or what gives it for a list of indices; None for
            fresh noise each time.
        alpha: of the logit.
        augment: applied to the levels (B, C, H, W) of a batch, before the noise.
    """

    def __init__(
        self,
        levels: Any,
        num_levels: int,
        transform: str,
        noise: Any = None,
        alpha: float = 0.0,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.levels, self.num_levels, self.transform, self.noise = levels, num_levels, transform, noise
        self.alpha, self.augment = alpha, augment
        self.is_random = augment is not None or (noise is None and transform != "discrete")

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: int) -> Batch:
        return Batch(*(field[0] for field in self.__getitems__([index])))

    def __getitems__(self, indices: list[int]) -> Batch:
        levels = self.levels[indices]
        if self.augment is not None:
            levels = self.augment(levels)
        levels = levels.float()
        if self.transform == "discrete":
            noise = torch.full_like(levels, 0.5)
        else:
            noise = torch.rand_like(levels) if self.noise is None else self.noise[indices]
        return serve((levels + noise) / self.num_levels, self.num_levels, self.transform, self.alpha)


def central_square(height: int, width: int) -> tuple[int, int, int]:
    """Top, left and side of the largest square in the middle of an image.

    Example:
        >>> central_square(218, 178)
        (20, 0, 178)
    """
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side


def resized(levels: Tensor, size: int) -> Tensor:
    """Images of 256 levels (N, C, H, W), their central square resized (bilinear, antialiased), as uint8.

    Example:
        >>> resized(torch.full((2, 1, 8, 6), 7), 4).unique()
        tensor([7], dtype=torch.uint8)
    """
    if levels.shape[2:] == (size, size):
        return levels.to(torch.uint8)
    top, left, side = central_square(*levels.shape[2:])
    parts = [
        functional.interpolate(some.float(), size=(size, size), mode="bilinear", antialias=True).round().to(torch.uint8)
        for some in levels[:, :, top : top + side, left : left + side].split(COUNTED_AT_ONCE)
    ]
    return torch.cat(parts)
