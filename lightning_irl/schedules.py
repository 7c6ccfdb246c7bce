"""Learning-rate schedules."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class CosineToZero(LambdaLR):
    """A linear warm-up, then a cosine to zero; zero from there on.

    Args:
        optimizer: whose learning rates to scale.
        total: batches until zero.
        warmup: batches of the warm-up, of these.

    Raises:
        ValueError: if the warm-up is not shorter than the whole.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> round(CosineToZero(optimizer, total=10).factor(5), 3)
        0.5
    """

    def __init__(self, optimizer: Optimizer, total: int, warmup: int = 0) -> None:
        if not 0 <= warmup < total:
            raise ValueError(
                f"warmup is {warmup} of total {total} batches; it must be at least 0 and less than the total"
            )
        self.total, self.warmup = total, warmup
        super().__init__(optimizer, self.factor)

    def factor(self, batch: int) -> float:
        """What the learning rate is multiplied by at a batch."""
        if batch < self.warmup:
            return (batch + 1) / self.warmup
        done = min(1.0, (batch - self.warmup) / (self.total - self.warmup))
        return (1 + math.cos(math.pi * done)) / 2
