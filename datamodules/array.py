"""Your own samples, from a file or from memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor
from torch.utils.data import Dataset

from lightning_irl.datamodules.array_files import as_array, read_array
from lightning_irl.datamodules.dequantised import (
    DequantisedImages,
    SeededNoise,
    check_serving,
    default_alpha,
    image_event,
    to_levels,
)
from lightning_irl.datamodules.memory import MemoryDataModule
from lightning_irl.datamodules.number_checks import repeats, what_single_loses
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event, make_event
from lightning_irl.spaces.served import Splits
from lightning_irl.spaces.space import space_of

CHANNELS_LAST = (1, 3, 4)  # sizes of a last axis that are taken for channels
SMALLEST = 5  # height and width of an image whose axes are doubted


class ArrayDataModule(MemoryDataModule):
    r"""Samples in one array (N, \*shape): points (N, d) or images (N, C, H, W).

    Samples are served as they are, in single precision, and their likelihood is in nats. Images whose grey levels are
    declared by ``levels`` are dequantised and served like those of
    :class:`~lightning_irl.datamodules.ImageDataModule`, with fresh noise in training and fixed noise in validation and
    test, and have bits per dimension too.

    Args:
        samples: path of a ``.npy`` or ``.npz`` file (never unpickled), of a table of numbers in text (CSV) or of a
            Parquet file (needs pyarrow), whose rows are samples; or an array, a tensor or lists.
        fractions: shares of validation and test, at least one sample each; the rest is for training.
        low: lower edge of the box on which the data lives; give both edges or none (all of R^d). With ``levels``,
            the value of the darkest.
        high: upper edge of the box; with ``levels``, the value of the brightest.
        batch_size: demonstrations in a batch, over all processes.
        steps_per_epoch: batches in an epoch; by default one pass over the training part.
        seed: of the split, of the order, and of the noise in validation and test.
        array: name of the array in an ``.npz`` file that holds several.
        levels: number L of grey levels of images: values are 0 to L - 1, or k / (L - 1) in [0, 1], or as ``low`` and
            ``high`` say.
        transform: for images with levels: ``scale`` to the box [0, 1], ``logit`` to all of R^d, or ``discrete``.
        alpha: of the logit; None for 1e-6 of grey images and 0.05 of colour ones.

    Attributes:
        num_levels: number of grey levels, None where none are declared.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no array of real numbers, or holds NaN, Inf or too few samples; if samples are outside
            the box, are not on the declared levels, have channels last, or are too close together for single precision.

    Example:
        >>> digits = np.arange(12 * 64).reshape(12, 1, 8, 8) % 17
        >>> ArrayDataModule(digits, levels=17, batch_size=4).event["support"]
        'box'
    """

    def __init__(
        self,
        samples: str | NDArray[Any],
        fractions: tuple[float, float] = (0.1, 0.1),
        low: float | None = None,
        high: float | None = None,
        batch_size: int = 256,
        steps_per_epoch: int | None = None,
        seed: int = 0,
        array: str | None = None,
        levels: int | None = None,
        transform: Literal["scale", "logit", "discrete"] = "scale",
        alpha: float | None = None,
    ) -> None:
        check_serving(transform, alpha or 0.0)
        if levels is None and (transform != "scale" or alpha is not None):
            raise ValueError(
                "transform and alpha apply to images with grey levels; set levels, such as 256, or leave them out"
            )
        if array is not None and not isinstance(samples, (str, Path)):
            raise ValueError(f"array is {array!r}, but samples are not an .npz file; leave array out")
        values = read_array(samples, array) if isinstance(samples, (str, Path)) else as_array(samples)
        self._check(values, fractions, low, high, levels)
        number = len(values)
        val, test = (max(1, int(fraction * number)) for fraction in fractions)
        least = 1 if values.ndim == 4 else 2  # needed for a scale
        if number - val - test < least:
            raise ValueError(
                f"of {number} samples, validation takes {val} and test {test}, "
                f"which leaves {max(number - val - test, 0)} to train on; at least {least} must be left: "
                f"give {least + 2} samples or more, or smaller fractions"
            )
        self.num_levels, self.transform = levels, transform
        self.alpha = default_alpha(values.shape[1]) if alpha is None else alpha
        order = torch.randperm(number, generator=torch.Generator().manual_seed(seed)).numpy()
        places = np.split(order, [number - val - test, number - test])
        if levels is None:
            parts = Splits(*(torch.from_numpy(values[place].astype(np.float32)) for place in places))
            event = self._event(values[places[0]], parts.train, low, high)
            self._say_repeats(values, is_image=space_of(event).is_image)
        else:
            levels_of = to_levels(values, levels, low, high)
            parts = Splits(*(levels_of[torch.from_numpy(place)] for place in places))
            event = image_event(parts.train, levels, transform, self.alpha)
        super().__init__(event, parts, batch_size, steps_per_epoch, seed)

    def train_set(self) -> Dataset[Batch]:
        if self.num_levels is None:
            return super().train_set()
        return DequantisedImages(self.splits.train, self.num_levels, self.transform, None, self.alpha)

    def val_set(self) -> Dataset[Batch]:
        return super().val_set() if self.num_levels is None else self._fixed(self.splits.val, self.num_levels, 1)

    def test_set(self) -> Dataset[Batch]:
        return super().test_set() if self.num_levels is None else self._fixed(self.splits.test, self.num_levels, 2)

    def _fixed(self, levels: Tensor, num_levels: int, stream: int) -> Dataset[Batch]:
        noise = SeededNoise(tuple(levels.shape[1:]), self.seed, stream)
        return DequantisedImages(levels, num_levels, self.transform, noise, self.alpha)

    @staticmethod
    def _check(
        values: NDArray[Any], fractions: tuple[float, float], low: float | None, high: float | None, levels: int | None
    ) -> None:
        shape = list(values.shape)
        if values.ndim < 2 or (levels is not None and values.ndim != 4):
            hint = " (x[:, None] adds the channel of grey images)" if values.ndim == 3 else ""
            wanted = "(N, d) points or (N, C, H, W) images" if levels is None else "(N, C, H, W) images to have levels"
            raise ValueError(f"samples have shape {shape}; give {wanted}{hint}")
        if 0 in shape:
            raise ValueError(f"samples have shape {shape}, which is empty")
        if values.ndim == 4 and shape[3] in CHANNELS_LAST and min(shape[1:3]) >= SMALLEST:
            raise ValueError(
                f"samples have shape {shape}, which looks like images with their channels last; give (N, C, H, W): "
                "np.moveaxis(x, -1, 1)"
            )
        finite = np.isfinite(values).reshape(len(values), -1).all(1)
        if not finite.all():
            raise ValueError(f"{(~finite).sum()} of {len(values)} samples hold NaN or Inf; remove or fix them")
        smallest, largest = float(values.min()), float(values.max())
        if max(abs(smallest), abs(largest)) > float(np.finfo(np.float32).max):
            raise ValueError(
                f"samples go from {smallest:.4g} to {largest:.4g}, beyond the range of single precision (3.4e38), "
                "in which they are served: rescale them"
            )
        if (low is None) != (high is None):
            raise ValueError(f"the box is [{low}, {high}]; give both edges or none")
        if low is not None and high is not None and not (low <= smallest and largest <= high):
            raise ValueError(f"samples go from {smallest:.4g} to {largest:.4g}, outside the box [{low}, {high}]")
        if min(fractions) <= 0 or sum(fractions) >= 1:
            raise ValueError(
                f"fractions are {fractions}; validation and test need a share above 0 and leave some to train"
            )

    @staticmethod
    def _event(exact: NDArray[Any], train: Tensor, low: float | None, high: float | None) -> Event:
        """The event of samples as they are; location and scale are those of the training samples ``exact``."""
        kind = "image" if train.ndim == 4 else "point"
        columns = exact.reshape(len(exact), -1)
        if (lost := what_single_loses(columns)) is not None:
            apart = "x - x.mean(0) first, in double precision, keeps them apart"
            spread, served = columns.std(0, dtype=np.float64), train.flatten(1)
            if bool(((served.amax(0) == served.amin(0)).numpy() & (spread > 0)).any()):
                raise ValueError(
                    f"samples are served in single precision, which cannot tell them apart: {lost}; {apart}"
                )
            rank_zero_warn(f"samples are served in single precision, which loses detail: {lost}; {apart}")
        along = 0 if kind == "point" else None
        mean, deviation = (
            np.atleast_1d(getattr(columns, name)(along, dtype=np.float64, **more)) for name, more in MOMENTS
        )
        is_free = low is None or high is None
        return make_event(
            kind,
            train.shape[1:],
            support="real" if is_free else "box",
            low=low or 0.0,
            high=1.0 if high is None else high,
            location=mean.astype(np.float32).tolist(),
            scale=deviation.astype(np.float32).tolist(),
            grey_range=[float(train.min()), float(train.max())]
            if is_free and kind == "image" and train.min() < train.max()
            else None,
        )

    @staticmethod
    def _say_repeats(values: NDArray[Any], is_image: bool) -> None:
        """Warn in one line of values that no density has: a lattice, or one value again and again."""
        columns = values.reshape(1, -1) if is_image else values.reshape(len(values), -1).T
        found = [(place, words) for place, column in enumerate(columns) if (words := repeats(column)) is not None]
        if not found:
            return
        place, words = found[0]
        where = "pixels" if is_image else f"coordinate {place}"
        others = f" (and {len(found) - 1} more coordinates)" if len(found) > 1 else ""
        remedy = (
            "declare their grey levels, levels=L, to have them dequantised"
            if is_image
            else "add noise as wide as a step"
        )
        rank_zero_warn(
            f"samples repeat values, {where}: {words}{others}: a density can grow without bound on repeated values, "
            f"so likelihoods mean little; {remedy}"
        )


MOMENTS: tuple[tuple[str, dict[str, int]], ...] = (("mean", {}), ("std", {"ddof": 1}))
