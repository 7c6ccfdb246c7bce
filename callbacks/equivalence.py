"""How closely training satisfies the paper's three facts."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from lightning_irl.callbacks.failing import spares_the_run
from lightning_irl.callbacks.publish import aside, publish_scalars
from lightning_irl.callbacks.report import Report, why_no_model
from lightning_irl.limits import at_least
from lightning_irl.spaces.samples import Samples
from lightning_irl.verification import monitor
from lightning_irl.views import View

KEYS = "log_z_gap", "gradient_cosine", "gradient_distance", "generator_loss_gap"


class LogEquivalence(Report):
    """Logs how far log_z, gradient and generator loss are from the paper's equations, on a batch and fresh draws.

    Keys: ``equivalence/log_z_gap`` (log_z minus the batch's optimum, in nats), ``equivalence/gradient_cosine`` and
    ``equivalence/gradient_distance`` (between the discriminator's gradient at this log_z and that of L_cost; the
    distance is relative) and ``equivalence/generator_loss_gap`` (nats). Does nothing without a density.

    Args:
        every_n_batches: batches between two evaluations.
    """

    def __init__(self, every_n_batches: int = 500) -> None:
        at_least(1, "equivalence.", every_n_batches=every_n_batches)
        self.every_n_batches = every_n_batches
        self._is_monitored = False
        self._latest: Samples | None = None  # the last batch's demonstrations, to evaluate on after validation

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._is_monitored, self._latest = bool(self.monitored(trainer, pl_module)), None

    @spares_the_run
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not isinstance(pl_module, View) or not (pl_module.has_model and pl_module.scores_demonstrations):
            return
        if self._is_monitored:
            self._latest = batch.samples
        if pl_module.batches % self.every_n_batches == 0:
            self._look(trainer, pl_module, batch.samples)

    @spares_the_run
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._latest is not None and isinstance(pl_module, View) and self.monitored(trainer, pl_module):
            self._look(trainer, pl_module, self._latest)

    def monitorable(self, trainer: Trainer, view: View) -> dict[str, str]:
        """All keys, computed on the last training batch."""
        reason = why_no_model(view)
        if not reason and not view.scores_demonstrations:
            reason = "demonstrations of states alone have no log q"
        return {f"equivalence/{name}": reason for name in KEYS}

    @torch.inference_mode(False)  # it needs gradients, which Lightning's evaluation loops switch off
    def _look(self, trainer: Trainer, view: View, demonstrations: Samples) -> None:
        with aside(view, seed=view.batches, together=True):
            scalars = monitor(view, demonstrations)
        if trainer.is_global_zero:
            publish_scalars(trainer, {f"equivalence/{key}": value for key, value in scalars.items()}, view.batches)
