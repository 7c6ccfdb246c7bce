"""HDF5 files of D4RL, robomimic, ManiSkill and the like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightning_irl.datamodules.demonstrations import HOW_TO_CONVERT, Demonstrations
from lightning_irl.datamodules.file_kinds import arrays_in, names_of
from lightning_irl.datamodules.flat import is_flat, is_read, read_flat
from lightning_irl.datamodules.needed import needed

SEEN, AFTER = ("obs", "observations"), ("next_obs", "next_observations")


def read_hdf5(path: str | Path, skip_invalid: bool = False) -> Demonstrations:
    """Read an HDF5 file: one row of steps, or a group for each trajectory; needs h5py.

    D4RL has rows of steps; robomimic, ManiSkill and Minari have groups. From groups, ``actions`` and ``obs`` (or
    ``observations``) are read, with ``next_obs``, ``rewards`` and ``terminated`` where they are there. Where ``obs`` is
    a group of several arrays, choose and join them in a file of your own.

    Raises:
        ValueError: if it has neither, naming the arrays it has; if it is truncated; or if h5py is not installed.
    """
    h5py = needed("h5py", Path(path))
    try:
        with h5py.File(path, "r") as file:
            names = [name for name in file if is_read(name) and isinstance(file[name], h5py.Dataset)]
            if is_flat(names):
                found = read_flat({name: file[name][()] for name in names}, str(path))
            else:
                found = _groups(h5py, file, str(path))
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is truncated or not an HDF5 file of trajectories: {error}") from None
    return Demonstrations(**found, name=str(path), skip_invalid=skip_invalid)


def _groups(h5py: Any, file: Any, path: str) -> dict[str, Any]:
    """A group for each trajectory: observations, actions, rewards and terminal, as far as they are known."""
    parent = file["data"] if isinstance(file.get("data"), h5py.Group) else file
    pattern = re.compile(r"(?:demo|traj|episode)_(\d+)")
    groups = sorted((int(match[1]), name) for name in parent if (match := pattern.fullmatch(name)))
    if not groups:
        raise ValueError(
            f"{path} is an HDF5 file without demonstrations; "
            f"it has {names_of(arrays_in(path) or []) or 'no array'}. {HOW_TO_CONVERT}"
        )
    found: dict[str, Any] = {"observations": [], "actions": [], "rewards": [], "terminal": []}
    for _, name in groups:
        group = parent[name]
        seen, after = (_only(h5py, group, names, f"{path}, {name}") for names in (SEEN, AFTER))
        if seen is None or "actions" not in group:
            raise ValueError(f"{path}, {name} has {', '.join(group)}; obs and actions are needed. {HOW_TO_CONVERT}")
        observations, actions = seen[()], group["actions"][()]
        if after is not None and len(observations) == len(actions):
            observations = np.concatenate([observations, after[-1:]])
        found["observations"].append(observations)
        found["actions"].append(actions)
        found["rewards"].append(group["rewards"][()] if "rewards" in group else None)
        ended = next((group[key] for key in ("terminated", "terminations") if key in group), None)
        found["terminal"].append(None if ended is None else bool(ended[-1]))
    if all(rewards is None for rewards in found["rewards"]):
        found["rewards"] = None
    return found


def _only(h5py: Any, group: Any, names: Sequence[str], where: str) -> Any:
    """The array of one of these names, or the only one in a group of that name; None where there is neither."""
    part = next((group[name] for name in names if name in group), None)
    if isinstance(part, h5py.Group):
        if len(part) != 1:
            raise ValueError(
                f"{where}: {names[0]} are {', '.join(part)}; which of them an observation is, and in what order, "
                f"the file does not say, so join them and write a file of your own. {HOW_TO_CONVERT}"
            )
        return part[next(iter(part))]
    return part
