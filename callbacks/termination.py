"""What happens when the machine is to be left: SIGTERM, by which SLURM preempts, spot machines go and torchrun stops."""

from __future__ import annotations

import contextlib
import signal
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from lightning_irl.errors import Terminated


class Termination(Callback):
    """Ends training at SIGTERM, in every process, within moments and without waiting for the others.

    What an epoch's end has saved is there; the epoch that was under way is lost, and ``--ckpt_path last`` goes on at its start. Nothing
    is saved in the middle of one: a run that goes on is then bit for bit the run that did not stop.

    Lightning's own way exchanges a flag between processes at every batch, and waits for the device to read it; it is not used.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop
        if hasattr(loop, "_broadcast_sigterm_tensor"):
            loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

        def stop(number: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; leaving must not be interrupted
            launcher: Any = trainer.strategy.launcher
            if launcher is not None:
                launcher.kill(signal.SIGTERM)
            batches = getattr(pl_module, "batches", trainer.global_step)
            saved = getattr(trainer.checkpoint_callback, "best_model_path", "")
            raise Terminated(f"SIGTERM at batch {batches}; {f'saved is {saved}' if saved else 'nothing was saved yet'}")

        with contextlib.suppress(ValueError):  # signals belong to the main thread
            signal.signal(signal.SIGTERM, stop)
