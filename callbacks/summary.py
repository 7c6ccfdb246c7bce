"""The summary printed at the end of ``fit`` and of ``test``."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console
from rich.markup import escape

from lightning_irl.callbacks.failing import left_out, spares_the_run, sparing_the_run
from lightning_irl.callbacks.report import Report
from lightning_irl.files import run_folder
from lightning_irl.views import View


class Summary(Callback):
    """Prints the results of every :class:`~lightning_irl.callbacks.Report`, departures from the paper's objective,
    modules that do not learn, reports that failed, and the folder of the files.
    """

    @rank_zero_only
    @spares_the_run
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print(trainer, pl_module, "fit")

    @rank_zero_only
    @spares_the_run
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print(trainer, pl_module, "test")

    def _print(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        console = Console()
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Report):
                with sparing_the_run(trainer, f"the summary of {type(callback).__name__}"):
                    for part in callback.summary():
                        console.print(part)
        if isinstance(pl_module, View):
            for departure in pl_module.departures():
                console.print(f"[yellow]not the paper's objective:[/] {departure}")
            for line in pl_module.standstills():
                console.print(f"[red]stands still:[/] {line}")
        for line in left_out(trainer):
            console.print(f"[red]{escape(line)}")
        console.print(
            f"{stage} finished after {getattr(pl_module, 'batches', 0)} batches; files in {run_folder(trainer)}"
        )
