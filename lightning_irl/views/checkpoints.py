"""When a view is saved: ModelCheckpoint counts batches and time, and the last weights of every fit are saved."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint
from pytorch_lightning.utilities import rank_zero_info

from lightning_irl.views import monitors

if TYPE_CHECKING:
    from lightning_irl.views.loop import Loop

_SAVED: WeakKeyDictionary[ModelCheckpoint, int] = WeakKeyDictionary()  # batches trained when each last saved


def save_by_batches(trainer: Trainer) -> None:
    """Make ModelCheckpoint count batches, honour its time interval, and save the last weights of a fit.

    Lightning counts the steps of every optimizer, ignores ``train_time_interval`` under manual optimization, saves
    nothing if no optimizer steps, and does not save the end of a fit unless a save happens to be due there.
    """
    ours: dict[str, Callable[..., Any]] = {
        "on_train_batch_end": _after_batch,
        "on_train_epoch_end": _after_epoch,
        "_should_skip_saving_checkpoint": _skips,
        "_save_checkpoint": _save,
    }
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if not isinstance(callback, ModelCheckpoint):
            continue
        _SAVED.pop(callback, None)
        for name, function in ours.items():
            if getattr(type(callback), name, None) is getattr(ModelCheckpoint, name):  # a user's override stays
                setattr(callback, name, partial(function, callback))


def _save(callback: ModelCheckpoint, trainer: Trainer, filepath: str) -> None:
    ModelCheckpoint._save_checkpoint(callback, trainer, filepath)
    _SAVED[callback] = trainer.lightning_module.batches  # type: ignore[assignment]


def _skips(callback: ModelCheckpoint, trainer: Trainer) -> bool:
    view: Any = trainer.lightning_module
    is_fit = trainer.state.fn == "fit" and not trainer.sanity_checking
    is_dry: bool = bool(trainer.fast_dev_run)  # type: ignore[attr-defined]
    return is_dry or not is_fit or not view.batches or _SAVED.get(callback) == view.batches


def _after_batch(callback: ModelCheckpoint, trainer: Trainer, view: Loop, *_: Any) -> None:
    """Save if a number of batches or a time interval is due; if the metric comes from validation, wait for it."""
    every, interval = callback._every_n_train_steps, callback._train_time_interval
    is_due = every > 0 and view.batches % every == 0
    if interval is not None:
        now = time.monotonic()
        is_due = trainer.strategy.broadcast(now - (callback._last_time_checked or now) >= interval.total_seconds())
        if is_due:
            callback._last_time_checked = now
    if not is_due or callback._should_skip_saving_checkpoint(trainer):
        return
    monitors.share(trainer)
    candidates = callback._monitor_candidates(trainer)
    is_last = trainer.fit_loop.epoch_loop._num_ready_batches_reached()
    if callback.monitor is not None and (callback.monitor not in candidates or (is_last and _validates(trainer))):
        callback._defer_save_until_validation = True
        return
    callback._save_topk_checkpoint(trainer, candidates)
    callback._save_last_checkpoint(trainer, candidates)


def _validates(trainer: Trainer) -> bool:
    every = trainer.check_val_every_n_epoch
    return trainer.enable_validation and (every is None or (trainer.current_epoch + 1) % every == 0)


def _after_epoch(callback: ModelCheckpoint, trainer: Trainer, view: Loop) -> None:
    """Save as Lightning does, and at the end of a fit save the last weights too; the best by a metric stay the best."""
    if callback._defer_save_until_validation and callback._should_save_on_train_epoch_end(trainer):
        candidates = callback._monitor_candidates(trainer)
        if callback.monitor in candidates and not callback._should_skip_saving_checkpoint(trainer):
            callback._defer_save_until_validation = False
            callback._save_topk_checkpoint(trainer, candidates)
            callback._save_last_checkpoint(trainer, candidates)
    ModelCheckpoint.on_train_epoch_end(callback, trainer, view)
    if not _is_ending(trainer) or callback._should_skip_saving_checkpoint(trainer):
        return
    candidates = callback._monitor_candidates(trainer)
    if callback.save_top_k and (callback.monitor is None or not callback.best_model_path):
        callback._save_none_monitor_checkpoint(trainer, candidates)
    if callback.save_last != "link" or _SAVED.get(callback) == view.batches:
        callback._save_last_checkpoint(trainer, candidates)


def _is_ending(trainer: Trainer) -> bool:
    """Whether the fit ends with the epoch that has just ended, complete or cut short."""
    loop = trainer.fit_loop
    epochs: Any = loop.epoch_progress.current
    limits = ((loop.epoch_loop.global_step, loop.max_steps), (epochs.processed, loop.max_epochs))
    is_over = any(limit is not None and limit != -1 and count >= limit for count, limit in limits)
    return is_over or (trainer.should_stop and loop._can_stop_early)


def mark_place_in_epoch(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Correct the position within an epoch that a checkpoint records, so that Lightning resumes there.

    Lightning takes an epoch that ``max_steps`` or ``max_time`` cut short for a complete one, and the end of an epoch's
    last batch for the start of the next epoch, whose batches the loader then must not skip.
    """
    loops = checkpoint.get("loops", {}).get("fit_loop")
    if trainer.state.fn != "fit" or loops is None:
        return
    epoch, batch = loops["epoch_progress"], loops["epoch_loop.batch_progress"]["current"]
    is_whole = trainer.fit_loop.epoch_loop._num_ready_batches_reached()
    if not is_whole and epoch["total"]["processed"] == epoch["total"]["started"]:
        for count in epoch.values():
            count["processed"] -= 1
    if is_whole and batch["completed"] < batch["processed"]:
        loops["state_dict"]["combined_loader"] = [
            {**state, "served": 0, "epoch": state["epoch"] + 1} if "served" in state else state
            for state in loops["state_dict"].get("combined_loader", [])
        ]


def newest(trainer: Trainer) -> str | None:
    """Path of the checkpoint that a fit wrote last, else of the one it resumed from; None if neither file exists."""
    ours = [callback for callback in trainer.checkpoint_callbacks if callback in _SAVED]
    paths = [callback._last_checkpoint_saved for callback in sorted(ours, key=lambda one: -_SAVED[one])]  # type: ignore[index,attr-defined]
    return next((str(path) for path in [*paths, trainer.ckpt_path] if path and Path(path).is_file()), None)


def say_what_is_missing(trainer: Trainer, view: Loop) -> None:
    """At the end of a fit, if no checkpoint holds the last weights, say why in one line."""
    if view.began_at == view.batches:
        rank_zero_info("Nothing was trained in this fit, so it leaves no report and no checkpoint")
        return
    if view.saved_at == view.batches or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return
    callbacks = [one for one in trainer.callbacks if isinstance(one, Checkpoint)]  # type: ignore[attr-defined]
    reasons = [_reason(callback) for callback in callbacks] or ["trainer.enable_checkpointing is false"]
    rank_zero_info(f"No checkpoint holds the last weights, of batch {view.batches}: {'; '.join(reasons)}")


def _reason(callback: Checkpoint) -> str:
    name = type(callback).__name__
    if isinstance(callback, ModelCheckpoint) and callback.monitor is not None and callback.best_model_path:
        return (
            f"{name} keeps the best by {callback.monitor}, which is {callback.best_model_path}; save_last: true keeps "
            "the last ones too"
        )
    if isinstance(callback, ModelCheckpoint) and not callback.save_top_k:
        return f"save_top_k of {name} is 0"
    return f"{name} did not save them"
