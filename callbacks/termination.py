"""Handling of SIGTERM: the message, and how every process of a run is told."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

from lightning_irl.signals import WATCH


class Termination(Callback):
    """Ends a run at SIGTERM, in every process, within moments and without waiting for the others.

    Training since the last checkpoint is lost. Nothing is saved on the way out, in the middle of a step, so that a
    resumed run equals an uninterrupted one bit for bit.

    Lightning's own handling is not used: it exchanges a flag between processes at every batch, and waits for the device
    to read it.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        def tell_others() -> None:
            launcher: Any = trainer.strategy.launcher
            if launcher is not None:
                launcher.kill(signal.SIGTERM)

        WATCH.pass_on = tell_others
        WATCH.describe = lambda: describe(trainer, pl_module, stage)
        loop = trainer.fit_loop.epoch_loop
        if hasattr(loop, "_broadcast_sigterm_tensor"):
            loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def _listen(self, trainer: Trainer, pl_module: LightningModule) -> None:
        WATCH.listen()  # in place of Lightning's handler, which exchanges a flag too

    on_sanity_check_start = on_train_start = on_validation_start = on_test_start = on_predict_start = _listen


def describe(trainer: Trainer, module: LightningModule, stage: str) -> str:
    """Where a run was, and its last checkpoint."""
    if stage != "fit":
        return f"SIGTERM during {stage}; run the command again"
    text = f"SIGTERM at batch {getattr(module, 'batches', trainer.global_step)}"
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        return f"{text}; the first process says what is saved"
    saved = getattr(trainer.strategy.checkpoint_io, "newest", None)
    if saved is None:
        named = getattr(trainer.checkpoint_callback, "best_model_path", "")
        saved = Path(named) if named and Path(named).exists() else None
    if saved is None:
        return f"{text}; nothing was saved yet, so the same command starts from the beginning"
    return f"{text}; saved is {saved}\n--ckpt_path last (or this path) resumes from it"
