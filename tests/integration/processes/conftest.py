from __future__ import annotations

import os

import pytest
import torch


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
