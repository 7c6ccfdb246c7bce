"""Scikit-learn's 1,797 real 8x8 digits."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_irl.datamodules.dequantised import DequantisedImages, check_serving, resized, serve, served_as
from lightning_irl.datamodules.memory import MemoryDataModule
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import make_event
from lightning_irl.spaces.served import Splits

SIZE = 8  # height and width
LEVELS = 17  # grey levels 0 .. 16
LEVELS_RESIZED = 256
SPLIT_SEED = 0  # the split is part of the data: the same for every seed of a run


class DigitsDataModule(MemoryDataModule):
    r"""Scikit-learn's handwritten digits, 8x8, 17 grey levels (UCI, CC BY 4.0); nothing is downloaded.

    A fixed, stratified split: 1,397 for training, 200 for validation, 200 for tests. Images are dequantised with
    uniform noise, fresh in training, fixed by seed in validation and test, and served on the unit box or through a
    logit; or served as they are, 17 discrete levels at (k + 1/2) / 17, with the counting measure.

    Bits per dimension of the dequantised images, :math:`-(\log p + \text{log\_det}) / (d \log 2)`, are an upper bound
    on those of the discrete images (Theis et al. 2016, arXiv 1511.01844). Those of ``discrete`` images, :math:`-\log p
    / (d \log 2)` with a probability p, are exact, not a bound.

    Args:
        transform: ``scale`` to the box [0, 1], ``logit`` to all of R^d, or ``discrete``.
        batch_size: demonstrations in a batch, over all processes.
        steps_per_epoch: batches in an epoch; by default one pass over the training part.
        seed: of the order, and of the noise in validation and test.
        size: height and width; other than 8, images are resized (bilinear) and have 256 grey levels, such as 28 to
            stand beside Fashion-MNIST.

    Attributes:
        labels: the class of every image of each part.
        num_levels: number of grey levels.

    Raises:
        ValueError: if a value is not allowed.

    Example:
        >>> data = DigitsDataModule(size=28)
        >>> data.event["shape"], data.num_levels
        ([1, 28, 28], 256)
    """

    num_levels: int

    def __init__(
        self,
        transform: Literal["scale", "logit", "discrete"] = "scale",
        batch_size: int = 128,
        steps_per_epoch: int | None = None,
        seed: int = 0,
        size: int | None = None,
    ) -> None:
        check_serving(transform)
        if size is not None and size < 1:
            raise ValueError(f"size is {size}; it must be at least 1 pixel, or null for 8 x 8 as they are")
        from sklearn.datasets import load_digits  # slow to import
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        rest, test, rest_labels, test_labels = train_test_split(
            images, labels, test_size=200, stratify=labels, random_state=SPLIT_SEED
        )
        train, val, train_labels, val_labels = train_test_split(
            rest, rest_labels, test_size=200, stratify=rest_labels, random_state=SPLIT_SEED
        )
        parts = [torch.tensor(part, dtype=torch.float32).view(-1, 1, SIZE, SIZE) for part in (train, val, test)]
        self.labels = Splits(*(torch.tensor(part) for part in (train_labels, val_labels, test_labels)))
        self.transform, self.num_levels = transform, LEVELS
        if size is not None and size != SIZE:
            self.num_levels = LEVELS_RESIZED
            parts = [resized(part * ((LEVELS_RESIZED - 1) / (LEVELS - 1)), size) for part in parts]
        # In single precision, to the last bit as in the runs of docs/measured.md.
        served = serve((parts[0].float() + 0.5) / self.num_levels, self.num_levels, transform).samples
        event = make_event(
            "image",
            parts[0].shape[1:],
            location=[served.mean().item()],
            scale=[served.std().item()],
            **served_as(transform, self.num_levels),
        )
        super().__init__(event, Splits(*parts), batch_size, steps_per_epoch, seed)

    def train_set(self) -> Dataset[Batch]:
        return DequantisedImages(self.splits.train, self.num_levels, self.transform)

    def val_set(self) -> Dataset[Batch]:
        return self._fixed(self.splits.val, 1)

    def test_set(self) -> Dataset[Batch]:
        return self._fixed(self.splits.test, 2)

    def _fixed(self, levels: Tensor, stream: int) -> Dataset[Batch]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + stream)
        noise = torch.rand(levels.shape, generator=generator)
        return DequantisedImages(levels, self.num_levels, self.transform, noise)
