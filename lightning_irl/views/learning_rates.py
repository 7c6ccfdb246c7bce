"""Names for a view's learning rates in Lightning's ``LearningRateMonitor``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import LearningRateMonitor


def name_learning_rates(trainer: Trainer, names: Callable[[], list[str]]) -> None:
    """Make ``LearningRateMonitor`` log ``lr-cost`` and ``lr-sampler`` instead of ``lr-Adam`` and ``lr-Adam-1``.

    Naming parameter groups or schedules would do it too, but checkpoints would keep those names.

    Args:
        trainer: the trainer whose callbacks are changed, before training.
        names: called when rates are logged; returns the names of the trainer's optimizers, in their order.
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
