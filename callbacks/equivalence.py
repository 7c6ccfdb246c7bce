"""How close what is being trained stays to the paper's three facts."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer

from lightning_irl.callbacks.failing import spares_the_run
from lightning_irl.callbacks.publish import aside, publish_scalars
from lightning_irl.callbacks.report import Report
from lightning_irl.limits import at_least
from lightning_irl.verification import monitor
from lightning_irl.views import View


class LogEquivalence(Report):
    """Logs, on a training batch and fresh draws, how far log_z, gradient and generator loss are from the paper's
    equations.

    Keys: ``equivalence/log_z_gap`` (nats, log_z minus the batch's optimum), ``equivalence/gradient_cosine`` and
    ``equivalence/gradient_distance`` (the discriminator's gradient at this log_z against that of L_cost, the latter as
    the norm of the difference over the norm) and ``equivalence/generator_loss_gap`` (nats). Silent where there is no
    density.

    Args:
        every_n_batches: batches between two looks.
    """

    def __init__(self, every_n_batches: int = 500) -> None:
        at_least(1, "equivalence.", every_n_batches=every_n_batches)
        self.every_n_batches = every_n_batches

    @spares_the_run
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (
            not isinstance(pl_module, View)
            or not (pl_module.has_model and pl_module.scores_demonstrations)
            or pl_module.batches % self.every_n_batches
        ):
            return
        with aside(pl_module, seed=pl_module.batches, together=True):
            scalars = monitor(pl_module, batch.samples)
        if trainer.is_global_zero:
            publish_scalars(trainer, {f"equivalence/{key}": value for key, value in scalars.items()}, pl_module.batches)
