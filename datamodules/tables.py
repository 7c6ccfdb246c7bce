"""Arrow and Parquet: what ``imitation`` and ``datasets`` write, and files from the Hugging Face hub."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightning_irl.datamodules.conversion import Array
from lightning_irl.datamodules.demonstrations import HOW_TO_CONVERT, Demonstrations
from lightning_irl.datamodules.file_kinds import kind_of
from lightning_irl.datamodules.flat import is_flat, is_read, read_flat
from lightning_irl.datamodules.needed import needed


def read_huggingface(source: str | Path, skip_invalid: bool = False) -> Demonstrations:
    """Read a folder of ``imitation.data.serialize.save``: a ``datasets.Dataset`` with a trajectory in each row.

    Columns are those of :func:`read_tables`. The Arrow files are read with pyarrow; the package ``datasets`` is not
    needed.

    Raises:
        FileNotFoundError: if there is no such folder, or one of its files is missing.
        ValueError: if pyarrow is missing, a file is truncated, or a column is missing or not an array of numbers.
    """
    folder = Path(source).expanduser()
    if (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text())["splits"]
        raise ValueError(f"{source} holds the splits {', '.join(splits)}; give the folder of one: {folder / splits[0]}")
    if not (folder / "state.json").is_file():
        raise FileNotFoundError(f"no state.json in {source}; give the folder that save_to_disk wrote")
    needed("pyarrow", folder)
    parts = [folder / part["filename"] for part in json.loads((folder / "state.json").read_text())["_data_files"]]
    for path in parts:
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}, which {folder / 'state.json'} names")
    return read_tables(parts, str(source), skip_invalid)


def read_tables(paths: Sequence[Path], name: str, skip_invalid: bool = False) -> Demonstrations:
    """Read Arrow or Parquet files with pyarrow, one after another.

    Either a trajectory in each row, with the columns ``obs``, ``acts``, and ``terminal`` and ``rews`` where they are
    known (null where not); or a step in each row, with the columns of
    :func:`~lightning_irl.datamodules.flat.read_flat`. Other columns are not read.

    Raises:
        ValueError: if pyarrow is missing, a file is truncated, or a column is missing or not an array of numbers.
    """
    pyarrow = needed("pyarrow", Path(name))
    table = pyarrow.concat_tables([_table(pyarrow, path) for path in paths])
    found = table.column_names
    steps_alone = is_flat(found)
    if missing := [] if steps_alone else [column for column in ("obs", "acts") if column not in found]:
        raise ValueError(f"{name} lacks the columns {', '.join(missing)}; it has {', '.join(found)}. {HOW_TO_CONVERT}")
    if steps_alone:
        arrays = {
            column: _array(f"{name}, {column}", table[column].combine_chunks()) for column in found if is_read(column)
        }
        return Demonstrations(**read_flat(arrays, name), name=name, skip_invalid=skip_invalid)
    columns = {
        column: [_row(f"{name}, trajectory {index}", column, row) for index, row in enumerate(table[column])]
        for column in ("obs", "acts", "rews")
        if column in found
    }
    terminal = table["terminal"].to_pylist() if "terminal" in found else None
    return Demonstrations(
        columns["obs"], columns["acts"], columns.get("rews"), terminal, name, skip_invalid=skip_invalid
    )


def _table(pyarrow: Any, path: Path) -> Any:
    """The table of an Arrow or a Parquet file, by its first bytes."""
    is_parquet = kind_of(path) == "parquet"
    reader = importlib.import_module("pyarrow.parquet" if is_parquet else "pyarrow.ipc")
    try:
        if is_parquet:
            return reader.read_table(str(path), partitioning=None)
        with pyarrow.memory_map(str(path)) as file:
            is_stream = file.read(6) != b"ARROW1"
            file.seek(0)
            return (reader.open_stream if is_stream else reader.open_file)(file).read_all()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is truncated or not {'a Parquet' if is_parquet else 'an Arrow'} file: {error}"
        ) from None


def _row(where: str, column: str, row: Any) -> Any:
    """One trajectory's array; None for unknown rewards, and a ValueError where it is not an array."""
    if row.values is None:
        return None if column == "rews" else ValueError(f"{column} is missing")
    try:
        return _array(f"{where}, {column}", row.values, nulls=column == "rews")
    except ValueError as error:
        return ValueError(str(error).removeprefix(f"{where}, "))


def _array(where: str, values: Any, nulls: bool = False) -> Array:
    """Nested Arrow lists as an array; with ``nulls`` a null is NaN.

    Raises:
        ValueError: if they are ragged, or hold nulls or anything but numbers.
    """
    if not len(values):
        return np.empty(0, dtype=np.float32)
    shape = [len(values)]
    while hasattr(values, "flatten") and hasattr(values.type, "value_type"):
        inner = values.flatten()
        sizes = set(values.value_lengths().to_pylist()) if hasattr(values, "value_lengths") else {values.type.list_size}
        if len(sizes) != 1 or None in sizes:
            raise ValueError(f"{where}: rows of {len(sizes)} different lengths; all must have the same length")
        values, shape = inner, [*shape, *sizes]
    if values.null_count and not (nulls and values.null_count < len(values)):
        if nulls:
            return np.full(shape, np.nan)
        raise ValueError(f"{where}: {values.null_count} values are missing")
    array = values.to_numpy(zero_copy_only=False)
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise ValueError(f"{where}: values are of type {values.type}; they must be numbers")
    return array.reshape(shape).copy()
