"""Files that are there in full or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lightning_irl.signals import held


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Where to write what is to be at a path, in a folder that is made: it comes there once all of it is on the disk.

    A process that is killed at any moment, a full disk or an exception leave what was there as it was. SIGTERM and Ctrl-C wait until
    the file is there.

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
