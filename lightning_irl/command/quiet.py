"""Hides Lightning's adverts, and those of its warnings that tell the user nothing."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

ADVERTS = ("💡 Tip:", "TPU available: False", "HPU available: False", "IPU available: False")
CHATTER = ("GPU available: False", "Seed set to")
# Where rank_zero_info of pytorch_lightning and of lightning_fabric writes.
SOURCES = (
    "pytorch_lightning.utilities.rank_zero",
    "lightning_fabric.utilities.rank_zero",
    "lightning_fabric.utilities.seed",
)
IN_MEMORY = r".*does not have many workers which may be a bottleneck.*"
NOT_THE_USERS = (
    r"Found \d+ module\(s\) in eval mode.*",  # samplers draw in eval mode, and a frozen reference stays there
    # a sampler's schedule counts batches, and its optimizer's first step may come later
    r"Detected call of `lr_scheduler.step\(\)` before.*",
    r".*isinstance\(treespec, LeafSpec\)` is deprecated.*",  # Lightning's own use of torch
    r"The dirpath has changed from .*",  # every run has its own folder, also a resumed one
    r"Experiment logs directory .* exists and is not empty.*",  # it is this run's, and new
)


class Hush(logging.Filter):
    """Drops records that start with one of the given texts."""

    def __init__(self, starts: tuple[str, ...]) -> None:
        super().__init__()
        self.starts = starts

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.starts)


@contextmanager
def quiet(chatter: bool = True) -> Iterator[None]:
    """Hide adverts and, with ``chatter=False``, messages that matter only while training."""
    hush = Hush(ADVERTS if chatter else ADVERTS + CHATTER)
    loggers = [logging.getLogger(name) for name in SOURCES]
    for logger in loggers:
        logger.addFilter(hush)
    try:
        with warnings.catch_warnings():
            for message in NOT_THE_USERS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(hush)


def hush_workers() -> None:
    """Hide the advice to use more workers until :func:`quiet` ends: they slow down data in memory."""
    warnings.filterwarnings("ignore", message=IN_MEMORY)
