"""Modules that were in other places: their old import paths, which configs of earlier runs and users' own code hold,
still work.
"""

from __future__ import annotations

import importlib
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

ROOMS = {
    "spaces": ("batch", "event", "lattice", "samples", "support", "trajectory"),
    "optim": ("optimizers", "schedules"),
    "views": ("devices",),
    "command": (
        "checkpoint_io",
        "checks",
        "cli",
        "config_files",
        "lightning_cli",
        "named_configs",
        "quiet",
        "runs",
        "verbs",
        "workspace",
    ),
}
MOVED = {f"lightning_irl.{name}": f"lightning_irl.{room}.{name}" for room, names in ROOMS.items() for name in names}
MOVED["lightning_irl.views.energy"] = "lightning_irl.costs.energy"


class MovedFinder(MetaPathFinder, Loader):
    """Finds a module under its old path; it is the same module, and a ``DeprecationWarning`` says its new path."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module that has moved; None of any other."""
        return ModuleSpec(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module in its new place."""
        module = importlib.import_module(MOVED[spec.name])
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is run again; the module keeps the spec of its new place, which the import system has replaced."""
        old, module.__spec__ = module.__spec__, self._own
        name = "a module" if old is None else old.name
        warnings.warn(f"{name} has moved to {module.__name__}", DeprecationWarning, stacklevel=2)
