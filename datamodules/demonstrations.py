"""Demonstrations as trajectories of any length, and the file that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_irl.errors import did_you_mean

Array = NDArray[Any]
REQUIRED = ("obs", "acts", "indices")
OPTIONAL = ("rews", "log_probs", "terminal")
METADATA = ("horizon", "num_actions", "action_low", "action_high", "environment")


@dataclass(frozen=True)
class Demonstrations:
    """Whole episodes, each of its own length.

    Attributes:
        observations: of each episode (T_i + 1, *obs), the one after the last action included.
        actions: of each (T_i, *act); integers where they are discrete.
        rewards: true ones of each (T_i,), or None where they are not known. Nothing learns from them.
        terminal: of each, whether the file says that the environment ended it; None where it does not say.
        name: what messages call them, such as the file's path.
        metadata: what else the file says: horizon, num_actions, action_low, action_high, environment.
        log_probs: of each (T_i,), log pi(a | s) of the policy that acted, or None where it is not known.

    Raises:
        ValueError: naming the trajectory, and the step where there is one, if lengths, shapes or types do not fit or a number is
            NaN or infinite (in single precision, as it will be served).

    Example:
        >>> Demonstrations([np.zeros((4, 2)), np.zeros((3, 2))], [np.zeros((3, 1)), np.zeros((2, 1))]).lengths
        [3, 2]
    """

    observations: Sequence[Array]
    actions: Sequence[Array]
    rewards: Sequence[Array] | None = None
    terminal: Sequence[bool] | None = None
    name: str = "demonstrations"
    metadata: dict[str, Any] = field(default_factory=dict)
    log_probs: Sequence[Array] | None = None

    def __post_init__(self) -> None:
        number = len(self.actions)
        if not number:
            raise ValueError(f"{self.name} holds no trajectory")
        for key in self.metadata:
            if key not in METADATA:
                raise ValueError(f"{self.name}: metadata {key!r} is not known; {did_you_mean(key, METADATA)}")
        for what in ("observations", "rewards", "terminal", "log_probs"):
            parts = getattr(self, what)
            if parts is not None and len(parts) != number:
                raise ValueError(f"{self.name} has actions of {number} trajectories, but {what} of {len(parts)}")
        for index in range(number):
            self._check(index)

    def _check(self, index: int) -> None:
        where, steps = f"{self.name}, trajectory {index}", len(self.actions[index])
        if not steps:
            raise ValueError(f"{where}: it has no step")
        for what, parts, length in (
            ("observation", self.observations, steps + 1),
            ("action", self.actions, steps),
            ("reward", self.rewards, steps),
            ("log_prob", self.log_probs, steps),
        ):
            if parts is None:
                continue
            values, first = parts[index], parts[0]
            if len(values) != length:
                rule = "one observation more, that after the last action" if length > steps else "as many"
                raise ValueError(f"{where}: {len(values)} {what}s and {steps} actions; there must be {rule}")
            if values.dtype.kind not in "iuf":
                raise ValueError(f"{where}: {what}s are of type {values.dtype}; they must be numbers")
            if values.shape[1:] != first.shape[1:] or values.dtype.kind != first.dtype.kind:
                raise ValueError(
                    f"{where}: {what}s of shape {list(values.shape[1:])} and type {values.dtype}, trajectory 0 has "
                    f"{list(first.shape[1:])} and {first.dtype}"
                )
            if values.ndim > 1 and what in ("reward", "log_prob"):
                raise ValueError(
                    f"{where}: {what}s of shape {list(values.shape)}; one number a step, ({length},), is needed"
                )
            with np.errstate(over="ignore"):
                bad = ~np.isfinite(values.reshape(length, -1).astype(np.float32)).all(1)
            if bad.any():
                step = int(bad.argmax())
                raise ValueError(f"{where}, step {step}: {what} is NaN or infinite: {values[step]}")

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def lengths(self) -> list[int]:
        """Steps of each episode."""
        return [len(actions) for actions in self.actions]

    @property
    def returns(self) -> list[float] | None:
        """Sum of the true rewards of each episode."""
        if self.rewards is None:
            return None
        return [float(np.sum(rewards, dtype=np.float64)) for rewards in self.rewards]


def read_npz(path: str | Path) -> Demonstrations:
    """Read a file of :func:`write_npz`; nothing in it is ever unpickled, and arrays of other names are not read.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is truncated, holds objects, lacks an array, or its lengths do not fit.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}; give the path of an .npz file of demonstrations")
    try:
        with np.load(path, allow_pickle=False) as archive:
            known = [key for key in archive.files if key in REQUIRED + OPTIONAL + METADATA]
            arrays = {key: archive[key] for key in known}
    except Exception as error:  # numpy and zipfile raise many kinds for a file that is not what it should be
        if "allow_pickle" in str(error):
            raise ValueError(
                f"{path} is truncated or no .npz file of plain arrays: it holds pickled objects, which could run code and are not read"
            ) from None
        raise ValueError(f"{path} is truncated or no .npz file of plain arrays: {error}") from None
    if missing := [key for key in REQUIRED if key not in arrays]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it has {', '.join(sorted(arrays)) or 'none of ours'}")
    ends = _split_points(path, arrays["indices"], len(arrays["acts"]))
    number, steps = len(ends) + 1, len(arrays["acts"])
    if len(arrays["obs"]) != steps + number:
        raise ValueError(
            f"{path}: obs has {len(arrays['obs'])} rows; {steps} actions in {number} trajectories need {steps + number}"
        )
    for key in ("rews", "log_probs"):
        if key in arrays and len(arrays[key]) != steps:
            raise ValueError(f"{path}: {key} has {len(arrays[key])} rows, acts {steps}; there must be as many")
    for key in ("horizon", "num_actions"):
        if key in arrays and (arrays[key].ndim or arrays[key].dtype.kind not in "iu"):
            raise ValueError(f"{path}: {key} is {arrays[key].tolist()}; it must be one integer")
    terminal = arrays.get("terminal")
    return Demonstrations(
        np.split(arrays["obs"], ends + np.arange(1, number)),
        np.split(arrays["acts"], ends),
        np.split(arrays["rews"], ends) if "rews" in arrays else None,
        None if terminal is None else [bool(value) for value in np.atleast_1d(terminal)],
        str(path),
        {key: arrays[key].tolist() for key in METADATA if key in arrays},
        np.split(arrays["log_probs"], ends) if "log_probs" in arrays else None,
    )


def _split_points(path: str | Path, ends: Array, steps: int) -> Array:
    if ends.ndim != 1 or (len(ends) and not np.issubdtype(ends.dtype, np.integer)):
        raise ValueError(
            f"{path}: indices has shape {list(ends.shape)} and type {ends.dtype}; give the split points of acts"
        )
    if len(ends) and (np.any(np.diff(ends) <= 0) or ends[0] <= 0 or ends[-1] >= steps):
        raise ValueError(
            f"{path}: indices must rise between 0 and the {steps} rows of acts, they are {ends.tolist()[:9]} ..."
        )
    return ends.astype(np.int64)


def write_npz(path: str | Path, demonstrations: Demonstrations) -> None:
    """Write demonstrations, aside first, so that a file that was there stays whole until the new one is.

    The arrays are in docs/trajectories.md: ``obs`` (sum of T_i + 1 rows), ``acts``, ``rews``, ``log_probs`` (sum of T_i rows),
    ``indices`` (split points of acts), ``terminal``, and what is known of the metadata.
    """
    arrays: dict[str, Any] = {
        "obs": np.concatenate(demonstrations.observations),
        "acts": np.concatenate(demonstrations.actions),
        "indices": np.cumsum(demonstrations.lengths)[:-1].astype(np.int64),
    }
    for key, parts in (("rews", demonstrations.rewards), ("log_probs", demonstrations.log_probs)):
        if parts is not None:
            arrays[key] = np.concatenate(parts)
    if demonstrations.terminal is not None:
        arrays["terminal"] = np.array(demonstrations.terminal, dtype=bool)
    arrays |= {key: np.array(value) for key, value in demonstrations.metadata.items()}
    aside = Path(f"{path}.part")
    try:
        with aside.open("wb") as file:
            np.savez_compressed(file, **arrays)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
