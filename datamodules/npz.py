"""The ``.npz`` file of demonstrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lightning_irl.datamodules.conversion import Array
from lightning_irl.datamodules.demonstrations import HOW_TO_CONVERT, METADATA, Demonstrations
from lightning_irl.datamodules.file_kinds import arrays_in, kind_of, names_of, words_for
from lightning_irl.datamodules.flat import is_flat, is_read, read_flat
from lightning_irl.files import whole

REQUIRED = ("obs", "indices")
OPTIONAL = ("acts", "rews", "log_probs", "terminal")  # without acts, there are only states


def read_npz(path: str | Path, skip_invalid: bool = False) -> Demonstrations:
    """Read a file of :func:`write_npz`, or a row of steps as D4RL and Stable-Baselines write it.

    A row of steps is cut into episodes by :func:`read_flat`. Nothing is ever unpickled, and arrays of other names are
    not read.

    Args:
        path: of the file.
        skip_invalid: leave out trajectories that would be refused, and say how many and why.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another kind or truncated, holds objects, lacks an array, or its lengths do not fit.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}; give the path of an .npz file of demonstrations")
    if kind_of(path) not in ("npz", "zip"):
        raise ValueError(f"{path} is not an .npz file of plain arrays: it is {words_for(path)}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            steps_alone = "indices" not in archive.files and is_flat(archive.files)
            known = [key for key in archive.files if steps_alone or key in REQUIRED + OPTIONAL + METADATA]
            arrays = {key: archive[key] for key in known if not steps_alone or is_read(key)}
    except Exception as error:  # numpy and zipfile raise many kinds for a file that is not what it should be
        if "allow_pickle" in str(error):
            raise ValueError(
                f"{path} is truncated or not an .npz file of plain arrays: it holds pickled objects, "
                "which could run code and are not read"
            ) from None
        raise ValueError(f"{path} is truncated or not an .npz file of plain arrays: {error}") from None
    if steps_alone:
        return Demonstrations(**read_flat(arrays, str(path)), name=str(path), skip_invalid=skip_invalid)
    if missing := [key for key in REQUIRED if key not in arrays]:
        raise ValueError(
            f"{path} lacks {', '.join(missing)}; "
            f"it has {names_of(arrays_in(path) or []) or 'no array'}. {HOW_TO_CONVERT}"
        )
    rows = len(arrays["obs"])
    steps = len(arrays["acts"]) if "acts" in arrays else rows - np.size(arrays["indices"]) - 1
    ends = _split_points(path, arrays["indices"], steps)
    number = len(ends) + 1
    if rows not in (steps + number, steps):
        raise ValueError(
            f"{path}: obs has {rows} rows; {steps} actions in {number} trajectories need {steps + number}, "
            f"or {steps} where the state after the last action is not known"
        )
    for key in ("rews", "log_probs"):
        if key in arrays and len(arrays[key]) != steps:
            raise ValueError(f"{path}: {key} has {len(arrays[key])} rows for {steps} steps; there must be one per step")
    for key in ("horizon", "num_actions"):
        if key in arrays and (arrays[key].ndim or arrays[key].dtype.kind not in "iu"):
            raise ValueError(f"{path}: {key} is {arrays[key].tolist()}; it must be one integer")
    terminal = arrays.get("terminal")
    return Demonstrations(
        np.split(arrays["obs"], ends + (np.arange(1, number) if rows > steps else 0)),
        np.split(arrays.get("acts", np.empty((steps, 0), np.float32)), ends),
        np.split(arrays["rews"], ends) if "rews" in arrays else None,
        None if terminal is None else list(np.atleast_1d(terminal).tolist()),
        str(path),
        {key: arrays[key].tolist() for key in METADATA if key in arrays},
        np.split(arrays["log_probs"], ends) if "log_probs" in arrays else None,
        skip_invalid,
    )


def _split_points(path: str | Path, ends: Array, steps: int) -> Array:
    if ends.ndim != 1 or (len(ends) and not np.issubdtype(ends.dtype, np.integer)):
        raise ValueError(
            f"{path}: indices has shape {list(ends.shape)} and type {ends.dtype}; give the split points of acts"
        )
    if len(ends) and (np.any(np.diff(ends) <= 0) or ends[0] <= 0 or ends[-1] >= steps):
        raise ValueError(
            f"{path}: indices must increase between 0 and the {steps} rows of acts; they are {ends.tolist()[:9]} ..."
        )
    return ends.astype(np.int64)


def write_npz(path: str | Path, demonstrations: Demonstrations) -> None:
    """Write demonstrations to a temporary file first, so that an old file stays whole until the new one is.

    The arrays are in docs/trajectories.md: ``obs`` (sum of T_i + 1 rows), ``acts`` (left out where only states are
    known), ``rews``, ``log_probs`` (sum of T_i rows), ``indices`` (split points of acts), ``terminal``, and what is
    known of the metadata.
    """
    arrays: dict[str, Any] = {
        "obs": np.concatenate(demonstrations.observations),
        "indices": np.cumsum(demonstrations.lengths)[:-1].astype(np.int64),
    }
    for key, parts in (
        ("acts", demonstrations.actions if demonstrations.has_actions else None),
        ("rews", demonstrations.rewards),
        ("log_probs", demonstrations.log_probs),
    ):
        if parts is not None:
            arrays[key] = np.concatenate(parts)
    if demonstrations.terminal is not None:
        is_known = None not in demonstrations.terminal
        arrays["terminal"] = np.array(demonstrations.terminal, dtype=bool if is_known else np.float32)
    arrays |= {key: np.array(value) for key, value in demonstrations.metadata.items()}
    with whole(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, **arrays)
