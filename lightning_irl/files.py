"""Files that are there in full or not at all, and the folders of runs that they go into."""

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
    """Where to write what is to be at a path, in a folder that is made: it comes there once all of it is on the disk.

    A process that is killed at any moment, a full disk or an exception leave what was there as it was. SIGTERM and
    Ctrl-C wait until the file is there.

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
    """Folder in which this run keeps its files."""
    return Path(trainer.default_root_dir)


def folder_of(checkpoint: Path) -> Path:
    """The folder of the run that a checkpoint is of, wherever a metric's slash in its name has put it."""
    return next((folder for folder in checkpoint.parents if folder.name == "checkpoints"), checkpoint.parent).parent


def why_unwritable(folder: Path) -> str:
    """Make a folder and write into it; why that cannot be done, and nothing where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)
