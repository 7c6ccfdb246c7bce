"""Demonstrations that are served by worker processes where they are too large for memory."""

from __future__ import annotations

import os
from typing import Any

from torch import Tensor

from lightning_irl.datamodules.memory import MemoryDataModule
from lightning_irl.errors import UserError
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.served import Splits

MOST_WORKERS = 4  # by default


class WorkerDataModule(MemoryDataModule):
    """Serves demonstrations from memory, or from files that worker processes read.

    Args:
        event: what one sample looks like, as served.
        splits: training, validation and test parts: tensors, or files that are read when they are served.
        batch_size: demonstrations in a batch, over all processes.
        num_workers: processes that read and serve; None for none where demonstrations are in memory, otherwise up to 4.
        pin_memory: whether batches are in page-locked memory, for faster copies to a GPU.
        **options: of :class:`~lightning_irl.datamodules.MemoryDataModule`: ``steps_per_epoch`` and ``seed``.

    Raises:
        ValueError: if ``num_workers`` is negative, or :class:`~lightning_irl.datamodules.MemoryDataModule` refuses.
        UserError: if the demonstrations do not fit into shared memory.
    """

    def __init__(
        self,
        event: Event,
        splits: Splits,
        batch_size: int = 128,
        num_workers: int | None = None,
        pin_memory: bool = False,
        **options: Any,
    ) -> None:
        if num_workers is not None and num_workers < 0:
            raise ValueError(f"num_workers is {num_workers}; it must be 0 or more")
        super().__init__(event, splits, batch_size, **options)
        is_in_memory = isinstance(splits.train, Tensor)
        default = 0 if is_in_memory else min(MOST_WORKERS, os.cpu_count() or 1)
        self.num_workers = default if num_workers is None else num_workers
        self.pin_memory = pin_memory
        if self.num_workers:
            share_memory(splits)


def share_memory(parts: Splits) -> None:
    """Move images, or names of files, to memory that worker processes share, however they are started.

    Raises:
        UserError: if there is no room.
    """
    try:
        for part in parts:
            part.share_memory_()
    except RuntimeError as error:
        raise UserError(f"no room for the images in shared memory ({error}); set num_workers=0 or make room") from error
