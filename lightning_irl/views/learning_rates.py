"""What Lightning's ``LearningRateMonitor`` calls the learning rates of a view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import LearningRateMonitor


def name_learning_rates(trainer: Trainer, names: Callable[[], list[str]]) -> None:
    """Let ``LearningRateMonitor`` log ``lr-cost`` and ``lr-sampler``, where it would name rates by classes:
    ``lr-Adam``, ``lr-Adam-1``.

    Not by names of parameter groups or by schedules, which a checkpoint would keep.

    Args:
        trainer: whose callbacks are told, before training.
        names: called when rates are logged; of the trainer's optimizers, in their order.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, LearningRateMonitor) and hasattr(callback, "_check_duplicates_and_update_name"):
            _tell(callback, trainer, names)


def _tell(monitor: Any, trainer: Trainer, names: Callable[[], list[str]]) -> None:
    by_class = type(monitor)._check_duplicates_and_update_name

    def by_name(optimizer: Any, name: str, seen: list[Any], *others: Any) -> list[str]:
        ours = {id(getattr(one, "optimizer", one)): own for one, own in zip(trainer.optimizers, names(), strict=False)}
        if id(optimizer) not in ours:
            return by_class(monitor, optimizer, name, seen, *others)  # type: ignore[no-any-return]
        seen.append(optimizer)
        groups = optimizer.param_groups
        return [monitor._add_suffix(f"lr-{ours[id(optimizer)]}", groups, index) for index in range(len(groups))]

    monitor._check_duplicates_and_update_name = by_name
