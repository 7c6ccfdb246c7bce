"""Learning-rate schedules that end at zero and stay there."""

from __future__ import annotations

import math
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class DecayToZero(LambdaLR):
    """A linear warm-up, then a decay to zero; zero from there on.

    Args:
        optimizer: whose learning rates to scale.
        total: batches until zero.
        warmup: batches of the warm-up, of these.
        shape: of the decay: ``cosine`` or ``linear``.

    Raises:
        ValueError: if the warm-up is not shorter than the whole.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> round(DecayToZero(optimizer, total=10).factor(5), 3)
        0.5
    """

    def __init__(
        self, optimizer: Optimizer, total: int, warmup: int = 0, shape: Literal["cosine", "linear"] = "cosine"
    ) -> None:
        if not 0 <= warmup < total:
            raise ValueError(
                f"warmup is {warmup} of total {total} batches; it must be at least 0 and less than the total"
            )
        self.total, self.warmup, self.shape = total, warmup, shape
        super().__init__(optimizer, self.factor)

    def factor(self, batch: int) -> float:
        """What the learning rate is multiplied by at a batch."""
        if batch < self.warmup:
            return (batch + 1) / self.warmup
        left = 1 - min(1.0, (batch - self.warmup) / (self.total - self.warmup))
        return left if self.shape == "linear" else (1 - math.cos(math.pi * left)) / 2
