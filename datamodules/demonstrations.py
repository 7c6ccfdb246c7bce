"""Demonstrations as trajectories of any length, and the file that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
REQUIRED = ("obs", "acts", "indices")
METADATA = ("horizon", "action_low", "action_high", "num_actions", "environment")


@dataclass(frozen=True)
class Demonstrations:
    """Whole episodes, each of its own length.

    Attributes:
        observations: of each episode (T_i + 1, *obs), the one after the last action included.
        actions: of each (T_i, *act); integers where they are discrete.
        rewards: of each (T_i,), or None where they are not known.
        terminal: of each, whether the file says that the environment ended it; None where it does not say.
        name: what messages call them, such as the file's path.
        metadata: what else the file says: horizon, action_low, action_high, num_actions, environment.

    Raises:
        ValueError: naming the trajectory, and the step where there is one, if lengths do not fit or a number is NaN or infinite.
    """

    observations: Sequence[Array]
    actions: Sequence[Array]
    rewards: Sequence[Array] | None = None
    terminal: Sequence[bool] | None = None
    name: str = "demonstrations"
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        number = len(self.actions)
        if not number:
            raise ValueError(f"{self.name} holds no trajectory")
        for what, parts in (
            ("observations", self.observations),
            ("rewards", self.rewards),
            ("terminal", self.terminal),
        ):
            if parts is not None and len(parts) != number:
                raise ValueError(f"{self.name} has actions of {number} trajectories, but {what} of {len(parts)}")
        for index, (observations, actions) in enumerate(zip(self.observations, self.actions, strict=True)):
            if not len(actions):
                raise ValueError(f"{self.name}, trajectory {index}: it has no step")
            if len(observations) != len(actions) + 1:
                raise ValueError(
                    f"{self.name}, trajectory {index}: {len(observations)} observations and {len(actions)} actions; there must "
                    "be one observation more, that after the last action"
                )
            rewards = None if self.rewards is None else self.rewards[index]
            if rewards is not None and len(rewards) != len(actions):
                raise ValueError(
                    f"{self.name}, trajectory {index}: {len(rewards)} rewards and {len(actions)} actions; there must be as many"
                )
            for what, values in (("observation", observations), ("action", actions), ("reward", rewards)):
                if values is not None:
                    self._check_finite(index, what, values)

    def _check_finite(self, index: int, what: str, values: Array) -> None:
        if not np.issubdtype(values.dtype, np.number):
            raise ValueError(
                f"{self.name}, trajectory {index}: {what}s are of type {values.dtype}; they must be numbers"
            )
        bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
        if bad.any():
            step = int(bad.argmax())
            raise ValueError(f"{self.name}, trajectory {index}, step {step}: {what} is NaN or infinite: {values[step]}")

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def lengths(self) -> list[int]:
        """Steps of each episode."""
        return [len(actions) for actions in self.actions]

    @property
    def returns(self) -> list[float] | None:
        """Sum of the true rewards of each episode."""
        return None if self.rewards is None else [float(np.sum(rewards)) for rewards in self.rewards]


def read_npz(path: str | Path) -> Demonstrations:
    """Read a file of :func:`write_npz`; nothing in it is ever unpickled.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is truncated, holds objects, lacks an array, or its lengths do not fit.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}; give the path of an .npz file of demonstrations")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name != "infos"}
    except Exception as error:  # numpy and zipfile raise many kinds for a file that is not what it should be
        raise ValueError(f"{path} is truncated or no .npz file of plain arrays: {error}") from None
    if missing := [name for name in REQUIRED if name not in arrays]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it has {', '.join(sorted(arrays))}")
    steps, ends = len(arrays["acts"]), arrays["indices"]
    if ends.ndim != 1 or not np.issubdtype(ends.dtype, np.integer):
        raise ValueError(
            f"{path}: indices has shape {list(ends.shape)} and type {ends.dtype}; give the split points of acts"
        )
    if len(ends) and (np.any(np.diff(ends) <= 0) or ends[0] <= 0 or ends[-1] >= steps):
        raise ValueError(
            f"{path}: indices must rise between 0 and the {steps} rows of acts, they are {ends.tolist()[:9]} ..."
        )
    number = len(ends) + 1
    if len(arrays["obs"]) != steps + number:
        raise ValueError(
            f"{path}: obs has {len(arrays['obs'])} rows; {steps} actions in {number} trajectories need {steps + number}"
        )
    if "rews" in arrays and len(arrays["rews"]) != steps:
        raise ValueError(f"{path}: rews has {len(arrays['rews'])} rows, acts {steps}; there must be as many")
    terminal = arrays.get("terminal")
    return Demonstrations(
        np.split(arrays["obs"], ends + np.arange(1, number)),
        np.split(arrays["acts"], ends),
        np.split(arrays["rews"], ends) if "rews" in arrays else None,
        None if terminal is None else [bool(value) for value in np.atleast_1d(terminal)],
        str(path),
        {key: arrays[key].tolist() for key in METADATA if key in arrays},
    )


def write_npz(path: str | Path, demonstrations: Demonstrations) -> None:
    """Write demonstrations, aside first, so that a file that was there stays whole until the new one is.

    Arrays: ``obs`` (sum of T_i + 1 rows), ``acts``, ``rews`` (sum of T_i rows), ``indices`` (split points of acts), ``terminal``,
    and what is known of ``horizon``, ``action_low``, ``action_high``, ``num_actions``, ``environment``.
    """
    arrays: dict[str, Any] = {
        "obs": np.concatenate(demonstrations.observations),
        "acts": np.concatenate(demonstrations.actions),
        "indices": np.cumsum(demonstrations.lengths)[:-1].astype(np.int64),
    }
    if demonstrations.rewards is not None:
        arrays["rews"] = np.concatenate(demonstrations.rewards)
    if demonstrations.terminal is not None:
        arrays["terminal"] = np.array(demonstrations.terminal)
    arrays |= {key: np.array(value) for key, value in demonstrations.metadata.items() if key in METADATA}
    aside = Path(f"{path}.part")
    with aside.open("wb") as file:
        np.savez_compressed(file, **arrays)
    aside.replace(path)
