"""Augmentation of images by name, for whole batches of grey levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_irl.errors import did_you_mean

AUGMENTATIONS = ("flip", "shift")


class Augmentation:
    """Flips and shifts images (B, C, H, W) at random, each independently; levels stay levels.

    Randomness comes from torch's global generator, which a training set seeds for each batch.

    Args:
        names: ``flip`` (left to right, one image in two) and ``shift`` (each way by up to ``max_shift`` pixels, the
            pixels of the edge repeated).
        max_shift: in pixels.

    Raises:
        ValueError: if a name is not known, or ``max_shift`` is less than 1 pixel.

    Example:
        >>> Augmentation(["flip"])(torch.tensor([[[[1, 2]]]])).flatten().tolist() in ([1, 2], [2, 1])
        True
    """

    def __init__(self, names: Sequence[str], max_shift: int = 2) -> None:
        for name in names:
            if name not in AUGMENTATIONS:
                raise ValueError(f"no augmentation {name!r}; {did_you_mean(str(name), AUGMENTATIONS)}")
        if "shift" in names and max_shift < 1:
            raise ValueError(f"max_shift is {max_shift}; a shift is by at least 1 pixel, or leave shift out of augment")
        self.flips, self.max_shift = "flip" in names, max_shift if "shift" in names else 0

    def __call__(self, levels: Tensor) -> Tensor:
        number, _, height, width = levels.shape
        down, right = torch.randint(-self.max_shift, self.max_shift + 1, (2, number, 1))
        rows = (torch.arange(height) - down).clamp(0, height - 1)
        columns = (torch.arange(width) - right).clamp(0, width - 1)
        if self.flips:
            columns = torch.where(torch.rand(number, 1) < 0.5, width - 1 - columns, columns)
        taken = levels[torch.arange(number)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return taken.permute(0, 3, 1, 2).contiguous()
