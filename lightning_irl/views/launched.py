"""State returned from processes that Lightning starts itself (``ddp_notebook``, ``ddp_spawn``, ``ddp_fork``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytorch_lightning import Trainer
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities import rank_zero_info

if TYPE_CHECKING:
    from lightning_irl.views.loop import Loop

COUNTERS = "counters"  # beside the weights that Lightning hands back


def is_launched(trainer: Trainer) -> bool:
    """Whether Lightning started this process from another one, which keeps the view afterwards."""
    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def say_what_comes_back(trainer: Trainer) -> None:
    """Say in one line what the process that called ``fit`` gets back, and what it does not."""
    rank_zero_info(
        "The view was trained in processes of their own: weights, log_z, batches and logged metrics come back; what "
        "callbacks keep, such as LogPartition.estimates, does not, and is in the reports (partition_val.json, ...) in "
        f"{trainer.default_root_dir}"
    )


def counters(view: Loop) -> dict[str, Any]:
    """A view's counters of its training, as plain data."""
    return {
        "batches": view.batches,
        "environment_steps": int(view.environment_steps),
        "evaluated_at": dict(view.evaluated_at),
    }
