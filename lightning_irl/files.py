"""Atomic writing of files, and the folders of runs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_irl.signals import held

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Write a file atomically: yields a temporary path, which is renamed to ``path`` once it is complete on disk.

    Missing folders are made. If the process is killed, the disk is full or an exception is raised, a previous file
    stays as it was. SIGTERM and Ctrl-C wait until the file is written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "report.json"
        >>> with whole(path) as aside:
        ...     _ = aside.write_text("{}")
        >>> path.read_text()
        '{}'
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.partial")
    with held():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield aside
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def run_folder(trainer: Trainer) -> Path:
    """The folder in which this run keeps its files."""
    return Path(trainer.default_root_dir)


def folder_of(checkpoint: Path) -> Path:
    """The folder of a checkpoint's run; a slash in a metric's name may have put the checkpoint into subfolders."""
    return next((folder for folder in checkpoint.parents if folder.name == "checkpoints"), checkpoint.parent).parent


def why_unwritable(folder: Path) -> str:
    """Make a folder and try to write into it; return the reason if that fails, otherwise an empty string."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)
