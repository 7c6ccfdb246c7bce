"""An average of the weights, over batches."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging
from pytorch_lightning.utilities import rank_zero_warn


class WeightAverage(EMAWeightAveraging):
    """Lightning's ``EMAWeightAveraging`` with batches for steps: an exponential moving average of all weights of a view.

    Validation, reports, checkpoints and the end of the run are of the average. Lightning's own counts the steps of every optimizer,
    several a batch here, and with ``update_every_n_steps`` above 1 may never update. Options are those of Lightning's. An average
    that was never updated is not used: the trained weights stay, with a warning.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        batches: int = getattr(pl_module, "batches", trainer.global_step)
        if batches > self._latest_update_step and self.should_update(step_idx=batches - 1):
            assert self._average_model is not None
            self._average_model.update_parameters(pl_module)
            self._latest_update_step = batches

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._was_swapped = self._is_begun
        if self._was_swapped:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._was_swapped:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._is_begun:
            super().on_train_end(trainer, pl_module)
        else:
            rank_zero_warn(
                "WeightAverage was never updated, so the weights are those that were trained; train longer or lower "
                "update_every_n_steps and update_starting_at_step"
            )

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._is_begun:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    @property
    def _is_begun(self) -> bool:
        return self._average_model is not None and bool(self._average_model.n_averaged > 0)
