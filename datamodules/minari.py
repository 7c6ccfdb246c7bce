"""Minari data sets on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lightning_irl.datamodules.conversion import Array
from lightning_irl.datamodules.demonstrations import Demonstrations
from lightning_irl.datamodules.needed import needed
from lightning_irl.errors import did_you_mean


def minari_root() -> Path:
    """Where Minari keeps its data sets."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def is_minari(folder: Path) -> bool:
    """Whether a folder has the files of a Minari data set."""
    return any((folder / "data" / name).is_file() for name in ("metadata.json", "main_data.hdf5"))


def read_minari(source: str | Path, skip_invalid: bool = False) -> Demonstrations:
    """Read a Minari data set on this machine; nothing is downloaded.

    HDF5 data is read with h5py, including the layout of Minari 0.4, whose metadata is in the HDF5 file itself; images,
    Arrow and Parquet with the package ``minari``. Horizon, bounds and the number of actions are those of its
    environment. Discrete observations become one-hot vectors.

    Args:
        source: folder of the data set, or its id, such as ``pendulum/expert-v0``.
        skip_invalid: leave out trajectories that would be refused, and say how many and why.

    Raises:
        FileNotFoundError: if there is none; the message names the nearest.
        ValueError: if a package is missing, the files are truncated, or a space is neither a box nor discrete.
    """
    folders = Path(source).expanduser(), minari_root() / source
    folder = next((path for path in folders if (path / "data").is_dir()), None)
    if folder is None:
        known = [path.parent.parent for path in minari_root().rglob("data/metadata.json")]
        names = [path.relative_to(minari_root()).as_posix() for path in known]
        hint = f"{did_you_mean(str(source), names)}; " if names else ""
        raise FileNotFoundError(
            f"no Minari data set {source}, neither a folder nor an id in {minari_root()}; "
            f"{hint}`minari download {source}` fetches one"
        )
    described = _described(folder)
    spaces = {what: json.loads(described.get(f"{what}_space") or "null") or {} for what in ("observation", "action")}
    for what, space in spaces.items():
        if space.get("type", "Box") not in ("Box", "Discrete"):
            raise ValueError(
                f"{folder}: {what}s are a {space['type']}; only Box and Discrete are read: "
                "flatten them and write an .npz file"
            )
    is_image = spaces["observation"].get("dtype") == "uint8" and len(spaces["observation"].get("shape", ())) == 3
    reader = _minari_episodes if is_image or described.get("data_format", "hdf5") != "hdf5" else _hdf5_episodes
    episodes = list(reader(folder, int(described["total_episodes"])))
    observations, actions, rewards, terminal = (list(parts) for parts in zip(*episodes, strict=True))
    if spaces["observation"].get("type") == "Discrete":
        states = np.eye(spaces["observation"]["n"], dtype=np.float32)
        observations = [states[seen - spaces["observation"]["start"]] for seen in observations]
    if spaces["action"].get("type") == "Discrete":
        actions = [done - spaces["action"]["start"] for done in actions]
    metadata = _minari_metadata(described, spaces["action"])
    return Demonstrations(observations, actions, rewards, terminal, str(folder), metadata, skip_invalid=skip_invalid)


def _described(folder: Path) -> dict[str, Any]:
    """The metadata of a data set: since Minari 0.5 in its own file, before in attributes of its HDF5 file."""
    path = folder / "data" / "metadata.json"
    if path.is_file():
        try:
            described: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} is not a Minari data set of version 0.5 or later: {error}") from None
        return described
    path = folder / "data" / "main_data.hdf5"
    if not path.is_file():
        raise ValueError(
            f"{folder} is not a Minari data set: {folder / 'data'} has neither metadata.json nor main_data.hdf5"
        )
    h5py = needed("h5py", folder)
    try:
        with h5py.File(path, "r") as file:
            return {"total_episodes": sum(name.startswith("episode_") for name in file), **file.attrs}
    except OSError as error:
        raise ValueError(f"{path} is truncated or not an HDF5 file of Minari: {error}") from None


def _minari_metadata(described: dict[str, Any], actions: dict[str, Any]) -> dict[str, Any]:
    """What a data set says about its environment, as metadata of demonstrations."""
    spec = json.loads(described.get("env_spec") or "null") or {}
    found: dict[str, Any] = {"environment": spec["id"]} if spec.get("id") else {}
    if spec.get("max_episode_steps"):
        found["horizon"] = int(spec["max_episode_steps"])
    if actions.get("type") == "Discrete":
        found["num_actions"] = int(actions["n"])
    elif "low" in actions:
        bounds = {f"action_{edge}": np.ravel(actions[edge]).tolist() for edge in ("low", "high")}
        if np.isfinite(list(bounds.values())).any():
            found |= bounds
    return found


Episode = tuple[Array, Array, Array, bool]


def _hdf5_episodes(folder: Path, number: int) -> Iterator[Episode]:
    h5py = needed("h5py", folder)
    path = folder / "data" / "main_data.hdf5"
    try:
        with h5py.File(path, "r") as file:
            for index in range(number):
                group = file[f"episode_{index}"]
                observations, actions, rewards = (group[key][()] for key in ("observations", "actions", "rewards"))
                yield observations, actions, rewards, bool(group["terminations"][-1])
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is truncated or not an HDF5 file of Minari: {error}") from None


def _minari_episodes(folder: Path, number: int) -> Iterator[Episode]:
    minari = needed("minari", folder, "minari[arrow,hdf5]")
    for episode in minari.MinariDataset(str(folder / "data")).iterate_episodes(range(number)):
        yield episode.observations, episode.actions, episode.rewards, bool(episode.terminations[-1])
