"""Lightning's hooks around the loop: logging, checks, saving and restoring."""

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
    """A loop that logs against batches, never saves non-finite weights, and resumes exactly from a checkpoint."""

    means: nn.ModuleDict

    @property
    @abc.abstractmethod
    def pair(self) -> Pair:
        """The pair of cost and sampler."""

    @property
    @abc.abstractmethod
    def scores_demonstrations(self) -> bool:
        """Whether log q of demonstrations can be computed."""

    def _apply_batch_transfer_handler(self, batch: Any, *args: Any, **kwargs: Any) -> Batch:
        """Convert every batch to a Batch, here where Lightning passes it to steps and callbacks alike."""
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
        """Show the losses of a logged batch in the progress bar, from the host.

        Lightning reads the bar's values after every batch, new or not, and would wait for the device each time.
        """
        if self._shown and self.trainer.progress_bar_callback is not None:
            values = torch.stack(list(self._shown.values())).cpu()
            for key, value in zip(self._shown, values, strict=True):
                self.log(key, value, prog_bar=True, logger=False)
        self._shown = {}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self.descent.clip(self, optimizer)

    def on_validation_model_zero_grad(self) -> None:
        """Keep accumulated gradients, which Lightning would drop at each validation."""
        if not self.is_accumulating:
            super().on_validation_model_zero_grad()

    def check_finite(self) -> None:
        """Check the record of losses and gradients, and the parameters.

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
        self.check_finite()  # only finite weights are saved
        self.resume.save(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.resume.load(self, checkpoint)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The weights; after a fit in a process that Lightning started, also the counters, which
        :meth:`load_state_dict` takes up in the process that called ``fit``.
        """
        return self.resume.hand_back(self, super().state_dict(*args, **kwargs))

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load weights, and the counters if :meth:`state_dict` added them."""
        return super().load_state_dict(self.resume.take_back(self, state_dict), *args, **kwargs)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.evaluate(batch, "test")

    def evaluate(self, batch: Batch, stage: str) -> None:
        """Add a batch of held-out demonstrations to the logged means."""
        self.evaluated_at[stage] = self.batches
        with torch.no_grad():
            found = evaluation.held_out(self.pair, batch, self.scores_demonstrations)
        for name, values in found.items():
            mean: Any = self.means[f"{stage}_{name}"]
            mean.update(values)
            self.log(f"{stage}/{name}", mean, on_step=False, on_epoch=True, batch_size=len(values))

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Samples]:
        """Scores of samples, as returned by :func:`~lightning_irl.views.evaluation.score`."""
        return evaluation.score(self.pair, batch.samples, self.log_z, self.scores_demonstrations)
