"""Demonstrations as one row of steps, with flags where episodes end: D4RL, Stable-Baselines 2, LeRobot."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.utilities import rank_zero_warn

Array = NDArray[Any]

NAMES = {
    "observations": ("observations", "obs", "observation", "observation.state"),
    "actions": ("actions", "acts", "action"),
    "next_observations": ("next_observations", "next_obs"),
    "rewards": ("rewards", "rews", "reward", "next.reward"),
    "episodes": ("episode_index", "episode_id"),
    "starts": ("episode_starts",),
    "terminals": ("terminals", "terminations", "terminated"),
    "timeouts": ("timeouts", "truncations", "truncated"),
    "dones": ("dones", "done", "next.done"),
}
ENDS = ("episodes", "starts", "terminals", "timeouts", "dones")


def is_read(name: str) -> bool:
    """Whether an array of this name is read.

    Example:
        >>> is_read("terminals"), is_read("infos/qpos")
        (True, False)
    """
    return any(name in names for names in NAMES.values())


def is_flat(names: Collection[str]) -> bool:
    """Whether arrays of these names are demonstrations in one row of steps.

    Example:
        >>> is_flat(["observations", "actions", "terminals"]), is_flat(["obs", "acts"])
        (True, False)
    """
    found = {what for what, known in NAMES.items() if any(name in names for name in known)}
    return {"observations", "actions"} <= found and not found.isdisjoint(ENDS)


def read_flat(arrays: Mapping[str, Array], source: str) -> dict[str, Any]:
    """Cut one row of N steps into episodes.

    Args:
        arrays: by the names of :data:`NAMES`: observations and actions (N, ...), rewards (N,) or (N, 1), and what
            separates episodes: an ``episode_index``, ``episode_starts``, ``dones``, or both ``terminals`` and
            ``timeouts``; with ``terminals`` alone, ``next_observations`` tell where else an episode ended.
        source: what messages call them.

    Returns:
        ``observations``, ``actions``, ``rewards`` and ``terminal`` of
        :class:`~lightning_irl.datamodules.demonstrations.Demonstrations`. Without ``next_observations`` the state after
        each episode's last action is missing. The steps after the last end belong to an unfinished episode and are left
        out.

    Raises:
        ValueError: if lengths differ, no step is marked as an end, or ends by a time limit are not marked.
    """
    found = {
        what: arrays[name]
        for what, names in NAMES.items()
        for name in [next((n for n in names if n in arrays), "")]
        if name
    }
    steps = len(found["actions"])
    for what, values in found.items():
        if len(values) != steps:
            raise ValueError(f"{source}: {what} has {len(values)} rows, actions {steps}; the numbers must be equal")
        if what in (*ENDS, "rewards"):
            found[what] = values.reshape(steps, -1)[:, 0] if steps else values
    last, is_open = _last_steps(found, steps, source)
    if is_open and len(last):
        rank_zero_warn(
            f"{source}: the last {steps - 1 - last[-1]} of {steps} steps belong to an unfinished episode and "
            "are left out"
        )
    if not len(last):
        raise ValueError(
            f"{source}: none of the {steps} steps is marked as an episode's last; "
            "mark it in dones, or give episode_index"
        )
    cuts = np.append(last, steps - 1)[: len(last) + is_open] + 1

    def split(values: Array) -> list[Array]:
        return [values[start:end] for start, end in zip([0, *cuts[:-1]], cuts, strict=True)][: len(last)]

    observations = split(found["observations"])
    if "next_observations" in found:
        after = found["next_observations"][last]
        observations = [np.concatenate([seen, final[None]]) for seen, final in zip(observations, after, strict=True)]
    return {
        "observations": observations,
        "actions": split(found["actions"]),
        "rewards": split(found["rewards"]) if "rewards" in found else None,
        "terminal": [bool(ended) for ended in found["terminals"][last]] if "terminals" in found else None,
    }


def _last_steps(found: Mapping[str, Array], steps: int, source: str) -> tuple[Array, bool]:
    """The last step of each whole episode, and whether an unfinished one follows."""
    if not steps:
        raise ValueError(f"{source} holds no step")
    if "episodes" in found:
        changes = np.flatnonzero(found["episodes"][1:] != found["episodes"][:-1])
        return np.append(changes, steps - 1), False
    if "starts" in found:
        starts = np.flatnonzero(found["starts"])
        return np.append(starts[starts > 0] - 1, steps - 1), False
    ends = np.zeros(steps, dtype=bool)
    for what in ("terminals", "timeouts", "dones"):
        if what in found:
            ends |= found[what].astype(bool)
    if "terminals" in found and not ("timeouts" in found or "dones" in found):
        if "next_observations" not in found:
            raise ValueError(
                f"{source} has terminals but no timeouts, which tell where a time limit ended an episode; "
                "add timeouts, episode_index or next_observations to it"
            )
        after, seen = found["next_observations"][:-1], found["observations"][1:]
        ends[:-1] |= (after != seen).reshape(steps - 1, -1).any(1)
    last = np.flatnonzero(ends)
    return last, not ends[-1]
