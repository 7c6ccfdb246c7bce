"""Publishes figures, tables and scalars: in the run's folder, in every logger, and for callbacks to monitor."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.image
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from torch.utils.data import DataLoader

from lightning_irl.callbacks.failing import sparing_the_run
from lightning_irl.files import run_folder, whole
from lightning_irl.processes import alone, failing_together, separate_streams
from lightning_irl.spaces.samples import Samples, join
from lightning_irl.views import monitors
from lightning_irl.views.contracts import batches, loader_of
from lightning_irl.views.modules import evaluating


@contextmanager
def aside(module: LightningModule, seed: int, together: bool = False) -> Iterator[None]:
    """Evaluate a module in eval mode with separate random numbers, so that training is not affected.

    Args:
        module: the module to evaluate.
        seed: random seed of the evaluation.
        together: whether every process takes part, each with its own random numbers; if one fails, all leave. If not, a
            single process may do it, without waiting for the others.
    """
    with evaluating(module), torch.random.fork_rng(devices=[module.device] if module.device.type == "cuda" else []):
        torch.manual_seed(seed)
        if together:
            separate_streams()
        with failing_together() if together else alone():
            yield


def epochs_between(given: int | None, max_epochs: int | None, times: int) -> int:
    """Epochs between two reports: ``given``, or enough for at most ``times`` reports; 1 if the run has no known end."""
    return math.ceil(max(max_epochs or 1, 1) / times) if given is None else given


def demonstrations_of(trainer: Trainer, stage: str) -> Samples:
    """All demonstrations of the ``val`` or ``test`` part, as served, in every process.

    Raises:
        ValueError: if the data has no such part.
    """
    data, loader = trainer.datamodule, loader_of(trainer, stage)  # type: ignore[attr-defined]
    if loader is None:
        raise ValueError(f"the data has no {stage}_dataloader, so there are no demonstrations to hold out")
    if isinstance(loader, DataLoader) and loader.batch_size is not None:
        options: dict[str, Any] = {name: getattr(loader, name) for name in ("batch_size", "collate_fn", "num_workers")}
        loader = DataLoader(loader.dataset, **options)
    view: Any = trainer.lightning_module
    return join([batch.samples for batch in batches(view, data, loader)])


@contextmanager
def _showing(trainer: Trainer, key: str, logger: Logger) -> Iterator[None]:
    """Send something to one logger; if it fails, only that is lost."""
    with sparing_the_run(trainer, f"{key} in {type(logger).__name__}"):
        yield


def publish_report(trainer: Trainer, report: dict[str, Any], name: str) -> Path:
    """Save a report as ``<name>.json`` in the run's folder.

    Args:
        trainer: the trainer of the run.
        report: plain data that JSON can hold.
        name: such as ``partition_val``.

    Returns:
        The file's path.
    """
    path = run_folder(trainer) / f"{name}.json"
    with whole(path) as file:
        file.write_text(json.dumps(report, indent=1))
    return path


def publish_figure(trainer: Trainer, figure: Figure, key: str, batch: int) -> Path:
    """Save a figure as ``figures/<key>/<batch>.png`` in the run's folder and show it in every logger that can.

    Args:
        trainer: the trainer of the run.
        figure: what to show.
        key: such as ``samples/grid``.
        batch: batches trained so far.

    Returns:
        The file's path.
    """
    path = run_folder(trainer) / "figures" / key / f"{batch:07d}.png"
    with whole(path) as file:
        FigureCanvasAgg(figure).print_png(str(file))
    for logger in trainer.loggers:
        with _showing(trainer, key, logger):
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(key, matplotlib.image.imread(path), batch, dataformats="HWC")
            elif hasattr(logger, "log_image"):
                logger.log_image(key, [str(path)], step=batch)
    return path


def publish_video(trainer: Trainer, frames: Sequence[Image.Image], per_second: int, key: str, batch: int) -> Path:
    """Save pictures as ``figures/<key>/<batch>.gif`` in the run's folder and show it in every logger that can.

    Args:
        trainer: the trainer of the run.
        frames: pictures of the same size.
        per_second: frames shown per second.
        key: such as ``samples/video``.
        batch: batches trained so far.

    Returns:
        The file's path.
    """
    path = run_folder(trainer) / "figures" / key / f"{batch:07d}.gif"
    first, *others = frames
    with whole(path) as file:
        first.save(file, format="GIF", save_all=True, append_images=others, duration=1000 / per_second, loop=0)
    for logger in trainer.loggers:
        if hasattr(logger, "log_video"):
            with _showing(trainer, key, logger):
                logger.log_video(key, [str(path)], step=batch)
    return path


def publish_table(
    trainer: Trainer, columns: Sequence[str], rows: Sequence[Sequence[float]], key: str, batch: int
) -> Path:
    """Save a table of numbers as ``tables/<key>/<batch>.csv`` in the run's folder and show it in every logger that can.

    Args:
        trainer: the trainer of the run.
        columns: names of the columns.
        rows: rows with a number for each column.
        key: such as ``samples/table``.
        batch: batches trained so far.

    Returns:
        The file's path.
    """
    path = run_folder(trainer) / "tables" / key / f"{batch:07d}.csv"
    with whole(path) as aside, aside.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    for logger in trainer.loggers:
        if hasattr(logger, "log_table"):
            with _showing(trainer, key, logger):
                logger.log_table(key, columns=list(columns), data=[list(row) for row in rows], step=batch)
    return path


def publish_scalars(trainer: Trainer, scalars: dict[str, Any], batch: int) -> None:
    """Log scalars to every logger and let callbacks monitor them, in any stage of a run; in the first process."""
    values = {key: float(value) for key, value in scalars.items()}
    monitors.publish(trainer, values, batch)
    for logger in trainer.loggers:
        with _showing(trainer, "numbers of a report", logger):
            logger.log_metrics(values, step=batch)
