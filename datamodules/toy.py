"""Points of a two-dimensional density whose true log density is known."""

from __future__ import annotations

import torch

from lightning_irl.datamodules.densities import DENSITIES
from lightning_irl.datamodules.memory import MemoryDataModule
from lightning_irl.limits import at_least
from lightning_irl.spaces.event import make_event
from lightning_irl.spaces.served import Splits


class ToyDataModule(MemoryDataModule):
    """Samples of a two-dimensional density.

    Args:
        name: eight_gaussians, two_moons, checkerboard, pinwheel, spirals, rings or funnel.
        train_size: number of training points.
        val_size: number of validation points.
        test_size: number of test points.
        batch_size: demonstrations in a batch, over all processes.
        steps_per_epoch: batches in an epoch; by default one pass over the training points.
        seed: of the points and of their order.

    Attributes:
        density: the true density, with ``sample`` and ``log_prob``.

    Raises:
        ValueError: if the name is not one of these, or a batch is larger than the data.

    Example:
        >>> ToyDataModule("two_moons", train_size=512).splits.train.shape
        torch.Size([512, 2])
    """

    def __init__(
        self,
        name: str = "eight_gaussians",
        train_size: int = 8192,
        val_size: int = 2048,
        test_size: int = 20_000,
        batch_size: int = 256,
        steps_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        if name not in DENSITIES:
            raise ValueError(f"toy density {name!r} is not known; allowed: {', '.join(DENSITIES)}")
        at_least(2, train_size=train_size)
        at_least(0, val_size=val_size, test_size=test_size)
        self.density = DENSITIES[name]()
        generator = torch.Generator().manual_seed(seed)
        parts = [self.density.sample(size, generator) for size in (train_size, val_size, test_size)]
        location, scale = parts[0].mean(0).tolist(), parts[0].std(0).tolist()
        box = self.density.box
        event = (
            make_event("point", [2], location=location, scale=scale)
            if box is None
            else make_event("point", [2], support="box", low=box[0], high=box[1], location=location, scale=scale)
        )
        super().__init__(event, Splits(*parts), batch_size, steps_per_epoch, seed)
        self.save_hyperparameters()
