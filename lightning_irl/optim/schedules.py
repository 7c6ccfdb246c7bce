"""Learning-rate schedules that end at zero and stay there."""

from __future__ import annotations

import math
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

NO_LENGTH = (
    "DecayToZero has no total, and the run has no length to take it from: give total, or set trainer.max_epochs "
    "without trainer.max_steps, with a data module that has steps_per_epoch"
)


class DecayToZero(LambdaLR):
    """A linear warm-up, then a decay to zero; zero from then on.

    Args:
        optimizer: whose learning rates to scale.
        total: batches until zero; by default the length of the run's warm start, or of the rest of the run, which the
            view sets (:meth:`take_length`). A resumed run keeps the total of its checkpoint.
        warmup: batches of the warm-up, included in ``total``. A run no longer than its warm-up ends within it.
        shape: of the decay, ``cosine`` or ``linear``.

    Raises:
        ValueError: if a given total is not longer than the warm-up, or the schedule is stepped without a total.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> round(DecayToZero(optimizer, total=10).factor(5), 3)
        0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total: int | None = None,
        warmup: int = 0,
        shape: Literal["cosine", "linear"] = "cosine",
    ) -> None:
        if warmup < 0 or (total is not None and warmup >= total):
            of_total = "" if total is None else f" of total {total}"
            raise ValueError(f"warmup is {warmup}{of_total} batches; it must be at least 0 and less than the total")
        self.total, self.warmup, self.shape = total, warmup, shape
        super().__init__(optimizer, self.factor)

    def take_length(self, batches: int) -> None:
        """Reach zero after this many batches, unless a total was given."""
        if self.total is None:
            self.total = batches

    def factor(self, batch: int) -> float:
        """The factor on the learning rate at a batch."""
        if batch < self.warmup:
            return (batch + 1) / self.warmup
        if batch == 0:
            return 1.0
        if self.total is None:
            raise ValueError(NO_LENGTH)
        if batch >= self.total:
            return 0.0
        left = 1 - (batch - self.warmup) / (self.total - self.warmup)
        return left if self.shape == "linear" else (1 - math.cos(math.pi * left)) / 2
