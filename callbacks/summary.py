"""What a person reads at the end of ``fit`` and of ``test``."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lightning_irl.callbacks.failing import left_out, spares_the_run
from lightning_irl.callbacks.imitation import LogImitation
from lightning_irl.callbacks.out_of_distribution import LogOutOfDistribution
from lightning_irl.callbacks.partition import LogPartition, best_estimate
from lightning_irl.callbacks.quality import LogQuality
from lightning_irl.files import run_folder
from lightning_irl.views import View

UNITS = {"nll": "nats", "bits_per_dim": "bits per dimension", "kl": "nats"}


class Summary(Callback):
    """Prints log Z by each method with its error and verdict, likelihoods, departures from the paper, and where the
    files are.
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
            if isinstance(callback, LogPartition) and callback.results:
                if callback.estimates:
                    console.print(partition_table(callback))
                results = results_table(callback)
                if results.row_count:
                    console.print(results)
            if isinstance(callback, LogImitation) and callback.results:
                console.print(imitation_table(callback))
                console.print(callback.verdict)
            if isinstance(callback, LogQuality) and callback.results:
                console.print(quality_table(callback))
            if isinstance(callback, LogOutOfDistribution) and callback.results:
                found = ", ".join(
                    f"{key.partition('auroc_')[2]} {value:.3f}" for key, value in callback.results.items()
                )
                console.print(f"out of distribution, area under the ROC curve by {found} (0.5: by chance)")
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


def partition_table(report: LogPartition) -> Table:
    """log Z by each method."""
    table = Table(title="log Z (nats)", title_justify="left")
    for heading, justify in (
        ("method", "left"),
        ("log Z", "right"),
        ("+-", "right"),
        ("ESS", "right"),
        ("k_hat", "right"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("verdict")
    for estimate in report.estimates:
        if not estimate.certifies:
            verdict = "[dim]certifies nothing"
        elif estimate.reliable:
            verdict = "[green]reliable"
        else:
            verdict = "[red]unreliable"
        if estimate.reason and (estimate.certifies or not estimate.reliable):
            verdict += f"[/]: {estimate.reason}"
        numbers = (f"{estimate.log_z:.3f}", f"{estimate.stderr:.3f}", f"{estimate.ess:.0f}", f"{estimate.k_hat:.2f}")
        table.add_row(estimate.method, *("-" if number == "nan" else number for number in numbers), verdict)
    return table


def results_table(report: LogPartition) -> Table:
    """Likelihoods and divergences, with the method whose log Z they use."""
    best = best_estimate(report.estimates)
    title = "Likelihood of the sampler, which is all that has one"
    if report.estimates:
        known = f"model with log Z by {best.method}" if best else "of the model unknown: no reliable log Z"
        title = f"Likelihood, {known}"
    table = Table(title=title, title_justify="left", min_width=len(title))
    for heading in ("", "value", "unit"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for key, value in report.results.items():
        group, _, name = key.partition("/")
        unit = next((unit for start, unit in UNITS.items() if name.startswith(start) or group == start), None)
        if unit is not None:
            table.add_row(key, f"{value:.4f}", unit)
    return table


def imitation_table(report: LogImitation) -> Table:
    """What the last look at the policy found."""
    table = Table(title="Imitation", title_justify="left")
    table.add_column("")
    table.add_column("value", justify="right")
    for key, value in report.results.items():
        if not key.endswith("_stderr"):
            error = report.results.get(f"{key}_stderr")
            table.add_row(key, f"{value:.3f}" + (f" +- {error:.3f}" if error is not None else ""))
    return table


def quality_table(report: LogQuality) -> Table:
    """A row for each number about images, a column for each source; held-out images are what a perfect sampler would
    score.
    """
    rows: dict[str, dict[str, str]] = {}
    for key, value in report.results.items():
        measure, _, source = key.removeprefix("quality/").partition("/")
        if source and not measure.endswith("_stderr"):
            error = report.results.get(f"quality/{measure}_stderr/{source}")
            short = measure.partition("_" + report.network_name)[0]
            rows.setdefault(short, {})[source] = f"{value:.3g}" + (f" +- {error:.2g}" if error is not None else "")
    sources = list(dict.fromkeys(source for row in rows.values() for source in row))
    title = f"Images, features by {report.network_name}"
    table = Table(title=title, title_justify="left", min_width=len(title))
    table.add_column("")
    for source in sources:
        table.add_column(source, justify="right")
    for measure, row in rows.items():
        table.add_row(measure, *(row.get(source, "-") for source in sources))
    return table
