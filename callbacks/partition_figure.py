"""Figure of the estimates of log Z over training and at the end, with their errors."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lightning_irl.partition import PartitionEstimate
from lightning_irl.partition.importance import MAX_K_HAT, MIN_ESS

WIDTH = 2  # standard errors on either side of a band
COLOUR, OTHER = "#1f4e79", "#b5460f"


def partition_figure(
    history: Sequence[tuple[int, PartitionEstimate]], final: Sequence[PartitionEstimate], batch: int
) -> Figure:
    """log Z over training with a band of two standard errors; every estimate at the end; effective draws and k_hat.

    Args:
        history: importance estimates during training, each with the batches trained by then.
        final: the estimates at the end.
        batch: batches trained at the end.
    """
    history = [(at, estimate) for at, estimate in history if at < batch]
    history += [(batch, estimate) for estimate in final if estimate.method == "importance"]
    figure = Figure(figsize=(13, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 1, 1))
    if history:
        _show_history(left, history)
        _show_weights(right, history)
    _show_final(middle, final)
    figure.suptitle(f"log Z (nats) with two standard errors; hollow: not reliable; after {batch} batches", fontsize=11)
    return figure


def _show_history(axes: Axes, history: Sequence[tuple[int, PartitionEstimate]]) -> None:
    at = [batch for batch, _ in history]
    log_z, error = [e.log_z for _, e in history], [WIDTH * e.stderr for _, e in history]
    low, high = ([z + sign * width for z, width in zip(log_z, error, strict=True)] for sign in (-1, 1))
    axes.fill_between(at, low, high, color=COLOUR, alpha=0.2, linewidth=0)
    axes.plot(at, log_z, color=COLOUR, linewidth=1)
    for batch, estimate in history:
        axes.plot(batch, estimate.log_z, "o", color=COLOUR, markersize=4, markerfacecolor=_face(estimate, COLOUR))
    axes.set(xlabel="batches", title="importance, over training")


def _show_final(axes: Axes, final: Sequence[PartitionEstimate]) -> None:
    for row, estimate in enumerate(reversed(final)):
        colour = COLOUR if estimate.certifies else OTHER
        error = WIDTH * estimate.stderr
        axes.errorbar(
            estimate.log_z, row, xerr=error, fmt="o", color=colour, markerfacecolor=_face(estimate, colour), capsize=3
        )
    axes.set_yticks(range(len(final)), [estimate.method for estimate in reversed(final)])
    axes.set(title="at the end (brown: certifies nothing)", ylim=(-0.6, len(final) - 0.4))


def _show_weights(axes: Axes, history: Sequence[tuple[int, PartitionEstimate]]) -> None:
    at = [batch for batch, _ in history]
    axes.semilogy(at, [e.ess for _, e in history], "o-", color=COLOUR, markersize=4)
    axes.axhline(MIN_ESS, color=COLOUR, linewidth=0.8, linestyle=":")
    axes.set_title("effective draws of importance", color=COLOUR)
    axes.set_xlabel("batches")
    other = axes.twinx()
    other.plot(at, [e.k_hat for _, e in history], "s-", color=OTHER, markersize=4)
    other.axhline(MAX_K_HAT, color=OTHER, linewidth=0.8, linestyle=":")
    other.set_ylabel("k_hat of their weights", color=OTHER)
    axes.tick_params("y", colors=COLOUR)
    other.tick_params("y", colors=OTHER)


def _face(estimate: PartitionEstimate, colour: str) -> str:
    return colour if estimate.reliable else "white"
