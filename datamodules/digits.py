"""Scikit-learn's 1,797 real 8x8 digits."""

from __future__ import annotations

import math
from typing import Literal

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import Dataset

from lightning_irl.batch import Batch
from lightning_irl.datamodules.memory import MemoryDataModule, Splits
from lightning_irl.event import make_event

LEVELS = 17  # grey levels 0 .. 16
SPLIT_SEED = 0  # the split is part of the data: the same for every seed of a run
LOGIT_EDGE = 1e-6


class DequantisedImages(Dataset[Batch]):
    """Images of integer levels (N, C, H, W), served as continuous ones or, without noise, as points of a lattice.

    Args:
        levels: integers from 0 to ``num_levels`` - 1.
        num_levels: number of grey levels.
        transform: ``scale``, ``logit`` or ``discrete`` (the middle of each level's part of the unit box, without noise).
        noise: fixed uniform noise in [0, 1), shaped like ``levels``; None for fresh noise each time.
    """

    def __init__(self, levels: Tensor, num_levels: int, transform: str, noise: Tensor | None = None) -> None:
        self.levels, self.num_levels, self.transform, self.noise = levels, num_levels, transform, noise

    def __len__(self) -> int:
        return len(self.levels)

    def __getitem__(self, index: int) -> Batch:
        return Batch(*(field[0] for field in self.__getitems__([index])))

    def __getitems__(self, indices: list[int]) -> Batch:
        levels = self.levels[indices]
        if self.transform == "discrete":
            noise = torch.full_like(levels, 0.5)
        else:
            noise = torch.rand_like(levels) if self.noise is None else self.noise[indices]
        return serve((levels + noise) / self.num_levels, self.num_levels, self.transform)


def serve(unit: Tensor, num_levels: int, transform: str) -> Batch:
    """Images on the unit box (B, C, H, W) as served, with log |d served / d raw| (B,), raw being in grey levels.

    Discrete images are counted, raw and served: probabilities do not change with the scale, and the second is 0.
    """
    if transform == "discrete":
        return Batch(unit, unit.new_zeros(len(unit)))
    log_det = unit.new_full((len(unit),), -math.log(num_levels) * unit[0].numel())
    if transform == "scale":
        return Batch(unit, log_det)
    unit = unit.clamp(LOGIT_EDGE, 1 - LOGIT_EDGE)
    return Batch(torch.logit(unit), log_det - (unit.log() + torch.log1p(-unit)).flatten(1).sum(-1))


class DigitsDataModule(MemoryDataModule):
    r"""Handwritten digits, 8x8, 17 grey levels, of scikit-learn (UCI, CC BY 4.0); nothing is downloaded.

    A fixed, stratified split: 1,397 for training, 200 for validation, 200 for tests. Images are dequantised with uniform noise,
    fresh in training, fixed by seed in validation and test, and served on the unit box or through a logit; or served as they are,
    17 discrete levels at (k + 1/2) / 17, of base measure counting.

    Bits per dimension of the dequantised images, :math:`-(\log p + \text{log\_det}) / (64 \log 2)`, are an upper bound on those
    of the discrete images (Theis et al. 2016, arXiv 1511.01844). Those of ``discrete`` images, :math:`-\log p / (64 \log 2)` with
    a probability p, are the discrete bits themselves, no bound.

    Args:
        transform: ``scale`` to the box [0, 1], ``logit`` to all of R^64, or ``discrete``.
        batch_size: demonstrations in a batch, over all processes.
        steps_per_epoch: batches in an epoch; by default one pass over the training part.
        seed: of the order, and of the noise in validation and test.

    Attributes:
        labels: the class of every image of each part.
    """

    def __init__(
        self,
        transform: Literal["scale", "logit", "discrete"] = "scale",
        batch_size: int = 128,
        steps_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        if transform not in ("scale", "logit", "discrete"):
            raise ValueError(f"transform is {transform!r}; allowed: scale, logit, discrete")
        images, labels = load_digits(return_X_y=True)
        rest, test, rest_labels, test_labels = train_test_split(
            images, labels, test_size=200, stratify=labels, random_state=SPLIT_SEED
        )
        train, val, train_labels, val_labels = train_test_split(
            rest, rest_labels, test_size=200, stratify=rest_labels, random_state=SPLIT_SEED
        )
        parts = [torch.tensor(part, dtype=torch.float32).view(-1, 1, 8, 8) for part in (train, val, test)]
        self.labels = Splits(*(torch.tensor(part) for part in (train_labels, val_labels, test_labels)))
        self.transform = transform
        served = serve((parts[0] + 0.5) / LEVELS, LEVELS, transform).samples
        event = make_event(
            "image",
            [1, 8, 8],
            support="real" if transform == "logit" else "box",
            base_measure="counting" if transform == "discrete" else "lebesgue",
            levels=LEVELS if transform == "discrete" else None,
            location=[served.mean().item()],
            scale=[served.std().item()],
        )
        super().__init__(event, Splits(*parts), batch_size, steps_per_epoch, seed)

    def train_set(self) -> Dataset[Batch]:
        return DequantisedImages(self.splits.train, LEVELS, self.transform)

    def val_set(self) -> Dataset[Batch]:
        return self._fixed(self.splits.val, 1)

    def test_set(self) -> Dataset[Batch]:
        return self._fixed(self.splits.test, 2)

    def _fixed(self, levels: Tensor, stream: int) -> Dataset[Batch]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + stream)
        noise = torch.rand(levels.shape, generator=generator)
        return DequantisedImages(levels, LEVELS, self.transform, noise)
