"""Demonstrations from any source: .npz files, shipped ones, Minari, ``imitation``, D4RL and others."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lightning_irl.datamodules.demonstrations import HOW_TO_CONVERT, Demonstrations
from lightning_irl.datamodules.file_kinds import kind_of, words_for
from lightning_irl.datamodules.hdf5 import read_hdf5
from lightning_irl.datamodules.minari import is_minari, minari_root, read_minari
from lightning_irl.datamodules.npz import read_npz
from lightning_irl.datamodules.tables import read_huggingface, read_tables
from lightning_irl.errors import did_you_mean

Format = Literal["auto", "npz", "minari", "huggingface"]
FORMATS = ("auto", "npz", "minari", "huggingface")
READ = ".npz, HDF5, Parquet and Arrow files, and folders of Minari and datasets"
SHIPPED = Path(__file__).parent / "experts"


def read(source: str | Path, format: Format = "auto", skip_invalid: bool = False) -> Demonstrations:
    """Read demonstrations. The kind of a file is told from its first bytes, not from its name.

    Args:
        source: path of a file or of a folder, name of a file that ships, or id of a Minari data set on this machine.
        format: ``npz``, ``minari`` or ``huggingface``; ``auto`` looks at what is there.
        skip_invalid: leave out trajectories that would be refused, and say how many and why.

    Raises:
        FileNotFoundError: if there are none; the message names the nearest.
        ValueError: if the format is not known, a package that reads it is not installed, or the file is not valid.
    """
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is not known; {did_you_mean(str(format), FORMATS)}")
    path = Path(source).expanduser()
    if format == "huggingface":
        return read_huggingface(path, skip_invalid)
    if format == "minari":
        return read_minari(source, skip_invalid)
    if path.is_file():
        return read_npz(path, skip_invalid) if format == "npz" else _read_file(path, skip_invalid)
    if (shipped := SHIPPED / f"{source}.npz").is_file():
        return read_npz(shipped)
    if path.is_dir():
        return _read_folder(path, skip_invalid)
    if format == "auto" and is_minari(minari_root() / source):
        return read_minari(source, skip_invalid)
    names = [file.stem for file in SHIPPED.glob("*.npz")]
    raise FileNotFoundError(
        f"no demonstrations {source}, neither a file nor a name; {did_you_mean(str(source), names)}"
    )


def _read_file(path: Path, skip_invalid: bool) -> Demonstrations:
    kind = kind_of(path)
    if kind in ("npz", "zip"):
        return read_npz(path, skip_invalid)
    if kind == "hdf5":
        is_of_minari = path.name == "main_data.hdf5" and path.parent.name == "data"
        return read_minari(path.parent.parent, skip_invalid) if is_of_minari else read_hdf5(path, skip_invalid)
    if kind in ("parquet", "arrow"):
        return read_tables([path], str(path), skip_invalid)
    raise ValueError(f"{path} is {words_for(path)}; demonstrations are read from {READ}. {HOW_TO_CONVERT}")


def _read_folder(path: Path, skip_invalid: bool) -> Demonstrations:
    if any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        return read_huggingface(path, skip_invalid)
    for folder in (path, path.parent):
        if is_minari(folder) and path in (folder, folder / "data"):
            return read_minari(folder, skip_invalid)
    tables = sorted(path.rglob("*.parquet"))
    splits = {file.name.partition("-")[0] for file in tables if "-of-" in file.name}
    if len(splits) > 1:
        raise ValueError(
            f"{path} holds Parquet files of the splits {', '.join(sorted(splits))}; give the files of one, in a folder"
        )
    if tables:
        return read_tables(tables, str(path), skip_invalid)
    raise ValueError(
        f"folder {path} holds no demonstrations: neither a Minari data set (data/metadata.json), "
        "nor one that save_to_disk wrote (state.json), nor Parquet files"
    )
