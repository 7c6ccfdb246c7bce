"""Tables of reports' results, for the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from lightning_irl.partition import PartitionEstimate

UNITS = {"nll": "nats", "bits_per_dim": "bits per dimension", "kl": "nats"}


def partition_table(estimates: Sequence[PartitionEstimate]) -> Table:
    """A row for each estimate of log Z."""
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
    for estimate in estimates:
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


def likelihood_table(results: Mapping[str, float], has_model: bool, method: str | None) -> Table:
    """Likelihoods and divergences; without rows if there are none.

    Args:
        results: by key; those in nats or bits are shown.
        has_model: whether the model has a likelihood too, or only the sampler.
        method: estimator of the model's log Z; None if no estimate is reliable.
    """
    title = "Likelihood of the sampler, which is all that has one"
    if has_model:
        known = f"model with log Z by {method}" if method else "of the model unknown: no reliable log Z"
        title = f"Likelihood, {known}"
    table = Table(title=title, title_justify="left", min_width=len(title))
    for heading in ("", "value", "unit"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for key, value in results.items():
        group, _, name = key.partition("/")
        unit = next((unit for start, unit in UNITS.items() if name.startswith(start) or group == start), None)
        if unit is not None:
            table.add_row(key, f"{value:.4f}", unit)
    return table


def imitation_table(results: Mapping[str, float]) -> Table:
    """Results of the last evaluation of the policy, with standard errors where they are known."""
    table = Table(title="Imitation", title_justify="left")
    table.add_column("")
    table.add_column("value", justify="right")
    for key, value in results.items():
        if not key.endswith("_stderr"):
            error = results.get(f"{key}_stderr")
            table.add_row(key, f"{value:.3f}" + (f" +- {error:.3f}" if error is not None else ""))
    return table


def quality_table(results: Mapping[str, float], network: str) -> Table:
    """A row for each measure of images, a column for each source.

    Args:
        results: by key, ``quality/MEASURE/SOURCE``.
        network: name of the feature network.
    """
    rows: dict[str, dict[str, str]] = {}
    for key, value in results.items():
        measure, _, source = key.removeprefix("quality/").partition("/")
        if source and not measure.endswith("_stderr"):
            error = results.get(f"quality/{measure}_stderr/{source}")
            short = measure.partition("_" + network)[0]
            rows.setdefault(short, {})[source] = f"{value:.3g}" + (f" +- {error:.2g}" if error is not None else "")
    sources = list(dict.fromkeys(source for row in rows.values() for source in row))
    title = f"Images, features by {network}"
    table = Table(title=title, title_justify="left", min_width=len(title))
    table.add_column("")
    for source in sources:
        table.add_column(source, justify="right")
    for measure, row in rows.items():
        table.add_row(measure, *(row.get(source, "-") for source in sources))
    return table
