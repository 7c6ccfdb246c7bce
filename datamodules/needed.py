"""Packages that only some files need."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any


def needed(name: str, source: Path, install: str = "") -> Any:
    """Import a package to read a source.

    Raises:
        ValueError: if it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(
            f"{name} is needed to read {source}, and is not installed: pip install '{install or name}'"
        ) from None
