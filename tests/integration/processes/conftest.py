from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from pathlib import Path

import pytest
import torch

PR_SET_PDEATHSIG = 1  # of Linux's prctl


def differences(first, second, path=""):
    """Where two checkpoints are not the same, bit for bit."""
    if isinstance(first, torch.Tensor):
        same = first.dtype == second.dtype and torch.equal(first.nan_to_num(nan=7.5), second.nan_to_num(nan=7.5))
        return [] if same else [path]
    if isinstance(first, dict):
        keys = [] if first.keys() == second.keys() else [f"{path}: {first.keys() ^ second.keys()}"]
        return keys + [
            at for key in first.keys() & second.keys() for at in differences(first[key], second[key], f"{path}/{key}")
        ]
    if isinstance(first, (list, tuple)):
        size = [] if len(first) == len(second) else [f"{path}: {len(first)}, {len(second)}"]
        return size + [
            at for k, pair in enumerate(zip(first, second, strict=False)) for at in differences(*pair, f"{path}/{k}")
        ]
    return [] if first == second else [path]


@pytest.fixture(name="differences")
def differences_fixture():
    """:func:`differences`."""
    return differences


@pytest.fixture(scope="session")
def environment():
    """Environment variables without what a process that itself belongs to a group would hand down."""
    kept = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return kept | {"OMP_NUM_THREADS": "1"}


def go_with_the_tests():
    """Be told to go when the process of the tests dies, however it does: torchrun then ends what it started."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def started_by(pid):
    """The processes that one has started, and theirs."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended, or this is not Linux
        return []
    return [every for child in children for every in (child, *started_by(child))]


@contextlib.contextmanager
def running(command, **options):
    """A process that trains until it is told to go; it and what it started end with this block, or with the tests."""
    with subprocess.Popen(command, preexec_fn=go_with_the_tests, **options) as run:
        try:
            yield run
        finally:
            for pid in (*started_by(run.pid), run.pid) if run.poll() is None else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture(name="running")
def running_fixture():
    """:func:`running`."""
    return running


@pytest.fixture(name="started_by")
def started_by_fixture():
    """:func:`started_by`."""
    return started_by
