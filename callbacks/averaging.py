"""An average of the weights, over batches."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging


class WeightAverage(EMAWeightAveraging):
    """An exponential moving average of all weights of a view, counted in batches.

    It is Lightning's ``EMAWeightAveraging`` with the same options. Validation, reports, checkpoints and the end of the
    run use the average. Lightning counts the steps of every optimizer, several per batch here, so that with
    ``update_every_n_steps`` above 1 it may never update. An average that was never updated is not used: the trained
    weights stay, with a warning.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        batches: int = getattr(pl_module, "batches", trainer.global_step)
        if batches > self._latest_update_step and self.should_update(step_idx=batches - 1):
            assert self._average_model is not None
            self._average_model.update_parameters(pl_module)
            self._latest_update_step = batches
