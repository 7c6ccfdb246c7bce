"""Your own samples, from a file or from memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_irl.datamodules.memory import MemoryDataModule, Splits
from lightning_irl.event import make_event


class ArrayDataModule(MemoryDataModule):
    """Samples in one array (N, *shape): points (N, d) or images (N, C, H, W).

    Args:
        samples: path of a ``.npy`` file (never unpickled) or an array.
        fractions: shares of validation and test; the rest is for training.
        low: lower edge of the box on which the data lives; give both edges or none (all of R^d).
        high: upper edge of the box.
        batch_size: demonstrations in a batch, over all processes.
        steps_per_epoch: batches in an epoch; by default one pass over the training part.
        seed: of the split and of the order.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a plain array of numbers, holds NaN or Inf, or leaves the box.
    """

    def __init__(
        self,
        samples: str | NDArray[np.float32],
        fractions: tuple[float, float] = (0.1, 0.1),
        low: float | None = None,
        high: float | None = None,
        batch_size: int = 256,
        steps_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        values = torch.from_numpy(self._read(samples))
        if values.ndim < 2:
            raise ValueError(f"samples have shape {list(values.shape)}; give (N, d) points or (N, C, H, W) images")
        if not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).flatten(1).any(1).sum())
            raise ValueError(f"{bad} of {len(values)} samples hold NaN or Inf; remove or mend them")
        if (low is None) != (high is None):
            raise ValueError(f"the box is [{low}, {high}]; give both edges or none")
        if low is not None and high is not None and not (low <= values.min() and values.max() <= high):
            raise ValueError(
                f"samples go from {values.min():.4g} to {values.max():.4g}, outside the box [{low}, {high}]"
            )
        if min(fractions) <= 0 or sum(fractions) >= 1:
            raise ValueError(
                f"fractions are {fractions}; validation and test need a share above 0 and leave some to train"
            )
        order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
        val, test = (max(1, int(fraction * len(values))) for fraction in fractions)
        parts = values[order].split([len(values) - val - test, val, test])
        train = parts[0].flatten(1)
        kind = "image" if values.ndim == 4 else "point"
        location, scale = (train.mean(0), train.std(0)) if kind == "point" else (train.mean()[None], train.std()[None])
        event = make_event(
            kind,
            values.shape[1:],
            support="real" if low is None else "box",
            low=low or 0.0,
            high=1.0 if high is None else high,
            location=location.tolist(),
            scale=scale.tolist(),
        )
        super().__init__(event, Splits(*parts), batch_size, steps_per_epoch, seed)

    @staticmethod
    def _read(samples: str | NDArray[np.float32]) -> NDArray[np.float32]:
        if isinstance(samples, str) and not Path(samples).is_file():
            raise FileNotFoundError(f"no file {samples}; give the path of a .npy file")
        try:
            array = np.load(samples, allow_pickle=False) if isinstance(samples, str) else samples
            return np.array(array, dtype=np.float32)
        except (ValueError, TypeError, EOFError) as error:
            name = samples if isinstance(samples, str) else "samples"
            raise ValueError(f"{name} is not a plain .npy array of numbers: {error}") from error
