"""Lightning's hooks around the loop: where things are logged, and what is checked, saved and restored."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lightning_irl import processes
from lightning_irl.pair import Pair
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.samples import Samples
from lightning_irl.spaces.served import as_batch
from lightning_irl.views import evaluation, monitors, trainer_limits
from lightning_irl.views.loop import Loop


class Hooks(Loop):
    """A loop that logs at numbers of batches, saves only what is finite, and goes on exactly from a checkpoint."""

    means: nn.ModuleDict

    @property
    @abc.abstractmethod
    def pair(self) -> Pair:
        """Cost and sampler."""

    @property
    @abc.abstractmethod
    def scores_demonstrations(self) -> bool:
        """Whether log q of a demonstration exists."""

    def _apply_batch_transfer_handler(self, batch: Any, *args: Any, **kwargs: Any) -> Batch:
        """The one place through which Lightning passes every batch: steps and callbacks alike get a Batch."""
        moved = super()._apply_batch_transfer_handler(batch, *args, **kwargs)
        return as_batch(moved, self.pair.event, self.log_z.dtype)

    def on_fit_start(self) -> None:
        self.began_at = self.batches
        processes.separate_streams()

    def on_train_start(self) -> None:
        self.resume.begin(self)
        trainer_limits.log_at(self.trainer, self.batches + 1)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        trainer_limits.log_at(self.trainer, self.batches + 1)

    def on_validation_start(self) -> None:
        trainer_limits.log_at(self.trainer, self.batches)

    def on_test_start(self) -> None:
        trainer_limits.log_at(self.trainer, self.batches)

    def on_validation_epoch_end(self) -> None:
        monitors.check_logged(self.trainer, at_epoch_end=False)

    def on_train_epoch_end(self) -> None:
        monitors.check_logged(self.trainer, at_epoch_end=True)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Show the losses of a batch that was logged in the progress bar, from the host.

        Lightning reads what the bar shows after every batch, whether or not it is new, and would wait for the device
        each time.
        """
        if self._shown and self.trainer.progress_bar_callback is not None:
            values = torch.stack(list(self._shown.values())).cpu()
            for key, value in zip(self._shown, values, strict=True):
                self.log(key, value, prog_bar=True, logger=False)
        self._shown = {}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.descent.clip(self, optimizer)

    def on_validation_model_zero_grad(self) -> None:
        """Keep what is accumulated, which Lightning would drop at each validation."""
        if not self.is_accumulating:
            super().on_validation_model_zero_grad()

    def check_finite(self) -> None:
        """Look at the record of losses and gradients, and at the parameters.

        Raises:
            NonFiniteError: naming the first batch and term, or the parameter.
        """
        self.health.check(self)
        self.health.check_parameters(self)

    def on_train_end(self) -> None:
        self.check_finite()

    def on_fit_end(self) -> None:
        self.resume.end(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.check_finite()  # what is saved is finite, or nothing is saved
        self.resume.save(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.resume.load(self, checkpoint)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The weights; after a fit in a process that Lightning started with the counters, for :meth:`load_state_dict`
        in the one that asked.
        """
        return self.resume.hand_back(self, super().state_dict(*args, **kwargs))

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Take weights, and counters where :meth:`state_dict` gave them."""
        return super().load_state_dict(self.resume.take_back(self, state_dict), *args, **kwargs)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "test")

    def evaluate(self, batch: Batch, stage: str) -> None:
        """Take a batch of held-out demonstrations into the means that are logged."""
        self.evaluated_at[stage] = self.batches
        with torch.no_grad():
            found = evaluation.held_out(self.pair, batch, self.scores_demonstrations)
        for name, values in found.items():
            mean: Any = self.means[f"{stage}_{name}"]
            mean.update(values)
            self.log(f"{stage}/{name}", mean, on_step=False, on_epoch=True, batch_size=len(values))

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Samples]:
        """Scores of samples, as :func:`~lightning_irl.views.evaluation.score` gives them."""
        return evaluation.score(self.pair, batch.samples, self.log_z, self.scores_demonstrations)
