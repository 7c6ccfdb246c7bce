"""Means over held-out demonstrations, under the weights that a report describes."""

from __future__ import annotations

from itertools import islice

import torch
from pytorch_lightning import Trainer

from lightning_irl import processes
from lightning_irl.views import View
from lightning_irl.views.contracts import loader_of, transfer_hook
from lightning_irl.views.evaluation import EVALUATED, held_out


def ends_here(trainer: Trainer) -> bool:
    """Whether the fit is known to end right after this validation, so that the report is made at its end."""
    loop = trainer.fit_loop
    is_last = loop.epoch_loop._num_ready_batches_reached() and trainer.max_epochs == trainer.current_epoch + 1
    return is_last or 0 < trainer.max_steps <= trainer.global_step


def means(trainer: Trainer, view: View, stage: str) -> dict[str, float]:
    """Means over one part of the demonstrations, in nats: c/T, log-determinant of the preprocessing, and -log q.

    The means of the last validation (or test) are used if it ran on the current weights. Otherwise they are computed
    again: the last validation may be several epochs old or from the middle of an epoch, or there was none.

    Args:
        trainer: of the run.
        view: the view to evaluate; every process must call this.
        stage: ``val`` or ``test``.

    Returns:
        ``cost``, ``log_det`` and, where the sampler has a density, ``nll_sampler``; empty without demonstrations.
    """
    logged = trainer.callback_metrics
    if view.evaluated_at.get(stage) == view.batches and f"{stage}/cost" in logged:
        return {name: float(logged[f"{stage}/{name}"]) for name in EVALUATED if f"{stage}/{name}" in logged}
    data, loader = trainer.datamodule, loader_of(trainer, stage)  # type: ignore[attr-defined]
    if loader is None:
        return {}
    before = transfer_hook(view, data, "on_before_batch_transfer")
    limits = [limit for limit in getattr(trainer, f"num_{stage}_batches") if 0 < limit < float("inf")]
    names = [name for name in EVALUATED if name != "nll_sampler" or view.scores_demonstrations]
    sums = torch.zeros(
        len(names), 2, dtype=torch.float64
    )  # of values, and how many; on the host, which every backend has in double
    for batch in islice(loader, int(limits[0]) if limits else None):
        batch = trainer.strategy.batch_to_device(before(trainer.precision_plugin.convert_input(batch), 0))
        with torch.no_grad(), trainer.precision_plugin.val_step_context():
            found = held_out(view.pair, batch, view.scores_demonstrations)
        for row, name in zip(sums, names, strict=True):
            values = found[name].cpu().double()
            row += torch.tensor([values.sum(), len(values)], dtype=torch.float64)
    every = sums.float() if view.device.type == "mps" else sums
    totals = processes.total(every.to(view.device)).tolist()
    return {name: total / number for name, (total, number) in zip(names, totals, strict=True) if number}
