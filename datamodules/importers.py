"""Demonstrations from wherever they are: our files, those that ship, Minari's data sets, those of ``imitation``."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lightning_irl.datamodules.demonstrations import Array, Demonstrations, read_npz
from lightning_irl.errors import did_you_mean

Format = Literal["auto", "npz", "minari", "huggingface"]
FORMATS = ("auto", "npz", "minari", "huggingface")
SHIPPED = Path(__file__).parent / "experts"


def read(source: str | Path, format: Format = "auto") -> Demonstrations:
    """Read demonstrations.

    Args:
        source: path of an ``.npz`` file or of a folder, name of a file that ships, or id of a Minari data set on this machine.
        format: ``npz``, ``minari`` or ``huggingface``; ``auto`` looks at what is there.

    Raises:
        FileNotFoundError: if there is none, naming the nearest.
        ValueError: if the format is not known, a package that reads it is not installed, or what is there is not what it should be.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is not known; {did_you_mean(str(format), FORMATS)}")
    path = Path(source)
    if format == "huggingface" or (
        format == "auto" and any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))
    ):
        return read_huggingface(source)
    if format == "minari" or (format == "auto" and (path / "data" / "metadata.json").is_file()):
        return read_minari(source)
    for file in (path, SHIPPED / f"{source}.npz"):
        if file.is_file():
            return read_npz(file)
    if path.is_dir():
        raise ValueError(
            f"folder {source} holds no demonstrations: neither a Minari data set (data/metadata.json) nor one that "
            "save_to_disk wrote (state.json)"
        )
    if format == "auto" and (minari_root() / source / "data" / "metadata.json").is_file():
        return read_minari(source)
    names = [file.stem for file in SHIPPED.glob("*.npz")]
    raise FileNotFoundError(
        f"no demonstrations {source}, neither a file nor a name; {did_you_mean(str(source), names)}"
    )


def minari_root() -> Path:
    """Where Minari keeps its data sets."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def read_minari(source: str | Path) -> Demonstrations:
    """Read a Minari data set that is on this machine; nothing is downloaded.

    HDF5 data is read with h5py; images, Arrow and Parquet with the package ``minari``. Horizon, bounds and the number of actions
    are those of its environment. Discrete observations become one-hot vectors.

    Args:
        source: folder of the data set, or its id, such as ``pendulum/expert-v0``.

    Raises:
        FileNotFoundError: if there is none, naming the nearest.
        ValueError: if a package is missing, the files are truncated, or a space is neither a box nor discrete.
    """
    folder = next((path for path in (Path(source), minari_root() / source) if (path / "data").is_dir()), None)
    if folder is None:
        known = [path.parent.parent for path in minari_root().rglob("data/metadata.json")]
        names = [path.relative_to(minari_root()).as_posix() for path in known]
        hint = f"{did_you_mean(str(source), names)}; " if names else ""
        raise FileNotFoundError(
            f"no Minari data set {source}, neither a folder nor an id in {minari_root()}; {hint}`minari download {source}` "
            "fetches one"
        )
    try:
        described = json.loads((folder / "data" / "metadata.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} is no Minari data set of version 0.5 or later: {error}") from None
    spaces = {what: json.loads(described.get(f"{what}_space", "null")) or {} for what in ("observation", "action")}
    for what, space in spaces.items():
        if space.get("type", "Box") not in ("Box", "Discrete"):
            raise ValueError(
                f"{folder}: {what}s are a {space['type']}; only Box and Discrete are read: flatten them and write an .npz file"
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
    return Demonstrations(
        observations, actions, rewards, terminal, str(folder), _minari_metadata(described, spaces["action"])
    )


def _minari_metadata(described: dict[str, Any], actions: dict[str, Any]) -> dict[str, Any]:
    """What a data set says of its environment, in our words."""
    spec = json.loads(described.get("env_spec") or "null") or {}
    found: dict[str, Any] = {"environment": spec["id"]} if spec.get("id") else {}
    if spec.get("max_episode_steps"):
        found["horizon"] = int(spec["max_episode_steps"])
    if actions.get("type") == "Discrete":
        found["num_actions"] = int(actions["n"])
    elif "low" in actions:
        bounds = {f"action_{edge}": np.ravel(actions[edge]).tolist() for edge in ("low", "high")}
        if np.isfinite(list(bounds.values())).all():
            found |= bounds
    return found


Episode = tuple[Array, Array, Array, bool]


def _hdf5_episodes(folder: Path, number: int) -> Iterator[Episode]:
    h5py = _package("h5py", folder)
    path = folder / "data" / "main_data.hdf5"
    try:
        with h5py.File(path, "r") as file:
            for index in range(number):
                group = file[f"episode_{index}"]
                observations, actions, rewards = (group[key][()] for key in ("observations", "actions", "rewards"))
                yield observations, actions, rewards, bool(group["terminations"][-1])
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is truncated or no HDF5 file of Minari's: {error}") from None


def _minari_episodes(folder: Path, number: int) -> Iterator[Episode]:
    minari = _package("minari", folder, "minari[arrow,hdf5]")
    for episode in minari.MinariDataset(str(folder / "data")).iterate_episodes(range(number)):
        yield episode.observations, episode.actions, episode.rewards, bool(episode.terminations[-1])


def read_huggingface(source: str | Path) -> Demonstrations:
    """Read the folder that ``imitation.data.serialize.save`` wrote: a ``datasets.Dataset`` with a trajectory in each row.

    Columns: ``obs``, ``acts``, ``terminal``, and ``rews`` where rewards are known; ``infos`` is not read. The Arrow files are read
    with pyarrow; the package ``datasets`` is not needed.

    Raises:
        FileNotFoundError: if there is no such folder, or one of its files is missing.
        ValueError: if pyarrow is missing, a file is truncated, or a column is missing or no array of numbers.
    """
    folder = Path(source)
    if (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text())["splits"]
        raise ValueError(f"{source} holds the splits {', '.join(splits)}; give the folder of one: {folder / splits[0]}")
    if not (folder / "state.json").is_file():
        raise FileNotFoundError(f"no state.json in {source}; give the folder that save_to_disk wrote")
    pyarrow = _package("pyarrow", folder)
    importlib.import_module("pyarrow.ipc")
    tables = []
    for part in json.loads((folder / "state.json").read_text())["_data_files"]:
        path = folder / part["filename"]
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}, of which {folder / 'state.json'} tells")
        try:
            with pyarrow.memory_map(str(path)) as file:
                tables.append(pyarrow.ipc.open_stream(file).read_all())
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{path} is truncated or no Arrow file: {error}") from None
    table = pyarrow.concat_tables(tables)
    if missing := [name for name in ("obs", "acts") if name not in table.column_names]:
        raise ValueError(f"{source} lacks the columns {', '.join(missing)}; it has {', '.join(table.column_names)}")
    columns = {
        name: [_array(f"{source}, trajectory {index}, {name}", row.values) for index, row in enumerate(table[name])]
        for name in ("obs", "acts", "rews")
        if name in table.column_names
    }
    terminal = [bool(value) for value in table["terminal"].to_pylist()] if "terminal" in table.column_names else None
    return Demonstrations(columns["obs"], columns["acts"], columns.get("rews"), terminal, str(source))


def _array(where: str, values: Any) -> Array:
    """Nested Arrow lists as an array.

    Raises:
        ValueError: if they are ragged, hold nulls or anything but numbers.
    """
    if not len(values):
        return np.empty(0, dtype=np.float32)
    shape = [len(values)]
    while hasattr(values, "flatten") and hasattr(values.type, "value_type"):
        inner = values.flatten()
        sizes = set(values.value_lengths().to_pylist()) if hasattr(values, "value_lengths") else {values.type.list_size}
        if len(sizes) != 1 or None in sizes:
            raise ValueError(f"{where}: rows of {len(sizes)} different lengths; all must be alike")
        values, shape = inner, [*shape, *sizes]
    if values.null_count:
        raise ValueError(f"{where}: {values.null_count} values are missing")
    array = values.to_numpy(zero_copy_only=False)
    if not np.issubdtype(array.dtype, np.number):
        raise ValueError(f"{where}: values are of type {values.type}; they must be numbers")
    return array.reshape(shape).copy()


def _package(name: str, source: Path, install: str = "") -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(
            f"{name} is needed to read {source}, and is not installed: pip install '{install or name}'"
        ) from None
