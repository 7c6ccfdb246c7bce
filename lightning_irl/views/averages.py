"""Weight averages of a view: reports see them in any order of callbacks, and an average never updated is not used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.utilities import rank_zero_warn


def put_in_place(trainer: Trainer) -> None:
    """Keep averaged weights in the view while reports evaluate it, but only once the average has been updated.

    Lightning uses the initial weights as the average until the first update, and swaps back before the reports that
    follow validation.
    """
    trainer.callbacks.sort(key=lambda one: not isinstance(one, WeightAveraging))  # type: ignore[attr-defined]
    ours: dict[str, Callable[..., Any]] = {
        "on_validation_epoch_start": _swap_in,
        "on_validation_epoch_end": _stay,
        "on_validation_end": _swap_back,
        "on_train_end": _keep,
        "on_save_checkpoint": _save,
    }
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WeightAveraging):
            for name, function in ours.items():
                setattr(callback, name, partial(function, callback))


def is_begun(callback: WeightAveraging) -> bool:
    """Whether an average was ever updated. The count is on the device, so do not call this in a training step."""
    return callback._average_model is not None and bool(callback._average_model.n_averaged > 0)


def _swap_in(callback: Any, trainer: Trainer, module: LightningModule) -> None:
    callback.is_swapped = is_begun(callback)
    if callback.is_swapped:
        type(callback).on_validation_epoch_start(callback, trainer, module)


def _stay(callback: Any, trainer: Trainer, module: LightningModule) -> None:
    """Do nothing yet: reports are made in this hook."""


def _swap_back(callback: Any, trainer: Trainer, module: LightningModule) -> None:
    if callback.is_swapped:
        type(callback).on_validation_epoch_end(callback, trainer, module)
    callback.is_swapped = False


def _keep(callback: Any, trainer: Trainer, module: LightningModule) -> None:
    if is_begun(callback):
        type(callback).on_train_end(callback, trainer, module)
        return
    rank_zero_warn(
        f"{type(callback).__name__} was never updated, so the trained weights are kept as they are; train longer, or "
        "let it start earlier and more often (update_starting_at_step, update_starting_at_epoch, update_every_n_steps)"
    )


def _save(callback: Any, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
    if is_begun(callback):
        type(callback).on_save_checkpoint(callback, trainer, module, checkpoint)
