from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

READING_OPS = (
    "_local_scalar_dense",
    "item",
    "nonzero",
    "masked_select",
    "equal",
    "is_nonzero",
    "_linalg_check_errors",
    "unique",
)
READING_METHODS = ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__", "__index__", "__array__")


class HostReads(TorchDispatchMode):
    """Counts what makes the host wait for a device: values read, and operations whose shape depends on values."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.count, self.is_on = 0, False
        for name in READING_METHODS:
            monkeypatch.setattr(torch.Tensor, name, self._counted(getattr(torch.Tensor, name)))

    def _counted(self, method):
        def wrapper(*args, **kwargs):
            self.count += self.is_on
            return method(*args, **kwargs)

        return wrapper

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(index is not None and index.dtype == torch.bool for index in args[1])
        self.count += self.is_on and (name in READING_OPS or name.startswith("unique") or by_mask)
        return func(*args, **(kwargs or {}))

    @contextmanager
    def of_steps(self, view):
        """How often each of a view's training steps makes the host wait; filled while training goes on."""
        counts, step = [], view.training_step

        def counted(batch, batch_idx):
            before, self.is_on = self.count, True
            step(batch, batch_idx)
            self.is_on = False
            counts.append(self.count - before)

        view.training_step = counted
        with self:
            yield counts


@pytest.fixture
def host_reads(monkeypatch):
    return HostReads(monkeypatch)
