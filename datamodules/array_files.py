"""Arrays of numbers from any file or object that holds them, as NumPy arrays; nothing is ever unpickled."""

from __future__ import annotations

import importlib
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_irl.datamodules.file_kinds import arrays_in, is_number, kind_of, names_of, separator_of, words_for

READ = "a .npy file, an .npz file, a table of text (CSV) or a Parquet file"
LOOKED_AT = 20  # lines of a table, for its separator


def read_array(path: str | Path, name: str | None = None) -> NDArray[Any]:
    """The array of numbers in a file, in its own precision.

    A table of text or of Parquet is (rows, columns); a single column of lists has a row for each list.

    Args:
        path: of a ``.npy`` or ``.npz`` file, a table of text, or a Parquet or Arrow file (needs pyarrow); ``~`` is the
            home folder.
        name: of the array in an ``.npz`` file; may be left out where it holds one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: saying what the file is and what to do, if it holds no array of numbers.
    """
    path = Path(path).expanduser()
    kind = kind_of(path)
    if kind == "missing":
        raise FileNotFoundError(f"no file {path}; give the path of {READ}")
    if name is not None and kind != "npz":
        raise ValueError(f"array is {name!r}, but {path} is {words_for(path)}, which names no arrays; leave array out")
    readers = {"npy": _npy, "table": _table, "parquet": _parquet, "arrow": _parquet}
    if kind == "npz":
        array = _npz(path, name)
    elif kind in readers:
        array = readers[kind](path)
    else:
        found = arrays_in(path)
        has = f"; it holds {names_of(found)}" if found else ""
        wants = {"image": "ImageDataModule reads images", "folder": "ImageDataModule reads a folder of images"}
        what = wants.get(kind, "read it and write the array with np.save(path, array)")
        raise ValueError(f"{path} is {words_for(path)}{has}; samples are {READ}: {what}")
    return check_numbers(array, str(path))


def as_array(samples: Any) -> NDArray[Any]:
    """Samples in memory as an array: from an array, a tensor, lists, or what NumPy makes an array of.

    Raises:
        ValueError: if they are not numbers, some are masked, or rows differ in length.
    """
    if isinstance(samples, (list, tuple)) and any(isinstance(part, torch.Tensor) for part in samples):
        try:
            samples = torch.stack([torch.as_tensor(part) for part in samples])
        except RuntimeError as error:
            raise ValueError(f"samples differ in shape ({error}); all must have the same shape") from error
    if isinstance(samples, torch.Tensor):
        samples = samples.detach().cpu()
        samples = (samples.float() if samples.dtype == torch.bfloat16 else samples).numpy()
    if isinstance(samples, np.ma.MaskedArray) and np.ma.is_masked(samples):
        raise ValueError(f"{np.ma.count_masked(samples)} values of samples are masked; leave those samples out")
    try:
        array = np.asarray(samples)
    except ValueError as error:
        raise ValueError(f"samples are not an array ({error}); all must have the same shape") from error
    return check_numbers(array, "samples")


def check_numbers(array: NDArray[Any], where: str) -> NDArray[Any]:
    """The array, if it holds real numbers.

    Raises:
        ValueError: saying what it holds instead, and what to do.
    """
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind == "c":
        raise ValueError(
            f"{where} holds complex numbers ({array.dtype}); samples are real: "
            "give both parts as coordinates, such as np.stack([x.real, x.imag], -1)"
        )
    kinds = {"O": "Python objects", "U": "text", "S": "text", "V": "named fields", "M": "dates", "m": "time spans"}
    what = kinds.get(array.dtype.kind, str(array.dtype))
    raise ValueError(
        f"{where} is not a plain .npy array of numbers: it holds {what} ({array.dtype}); convert it with astype"
    )


def _npy(path: Path) -> NDArray[Any]:
    found = arrays_in(path)
    if found and found[0].dtype == "object":
        raise ValueError(
            f"{path} is not a plain .npy array of numbers: it holds Python objects, "
            "which could run code and are not read; write it again from an array of numbers"
        )
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a plain .npy array of numbers: {error}; it is damaged or cut short") from error


def _npz(path: Path, name: str | None) -> NDArray[Any]:
    found = arrays_in(path)
    if not found:
        raise ValueError(f"{path} is a .npz file that is damaged, or holds no array")
    names = [array.name for array in found]
    if name is None and len(names) > 1:
        raise ValueError(f"{path} holds {names_of(found)}; choose one, such as array={names[0]}")
    chosen = names[0] if name is None else name
    if chosen not in names:
        raise ValueError(f"{path} holds no array {chosen!r}; it has {names_of(found)}")
    if found[names.index(chosen)].dtype == "object":
        raise ValueError(f"{path}: {chosen} holds Python objects, which could run code and are not read")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[chosen])
    except Exception as error:  # numpy, zipfile and zlib raise many kinds for a file that is damaged
        raise ValueError(f"{path}: {chosen} cannot be read ({error}); the file is damaged") from error


def _table(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        start = file.read(2)
    encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with path.open(encoding=encoding, errors="replace") as file:
        head = list(islice(file, LOOKED_AT))
    separator = separator_of("".join(head)) or ","
    rows = [line for line in head if line.strip() and not line.startswith("#")]
    names = [field.strip().strip('"') for field in rows[0].split(None if separator == " " else separator)]
    has_names = not all(map(is_number, names))
    skipped = head.index(rows[0]) + 1 if has_names else 0
    has_commas = separator != "," and any("," in line for line in rows[has_names:])
    try:
        array = np.loadtxt(
            path,
            dtype=np.float64,
            delimiter=None if separator == " " else separator,
            converters=(lambda field: float(field.replace(",", "."))) if has_commas else None,
            skiprows=skipped,
            encoding=encoding,
            quotechar='"',
            ndmin=2,
        )
    except ValueError as error:
        raise ValueError(
            f"{path} is a table, but not of numbers alone: {error} (rows and columns counted from 0 below the names); "
            "leave out columns of text and rows with gaps"
        ) from error
    if has_names and not names[0] and np.array_equal(array[:, 0], np.arange(len(array))):
        raise ValueError(
            f"{path}: the first column has no name and counts the rows, so it is not a coordinate of a sample; "
            "write the table without its index (to_csv(index=False))"
        )
    return array


def _parquet(path: Path) -> NDArray[Any]:
    try:
        pyarrow, parquet, ipc = map(importlib.import_module, ("pyarrow", "pyarrow.parquet", "pyarrow.ipc"))
    except ImportError:
        raise ValueError(f"pyarrow is needed to read {path}, and is not installed: pip install pyarrow") from None
    try:
        if kind_of(path) == "parquet":
            table = parquet.read_table(path)
        else:
            with path.open("rb") as file:
                is_stream = file.read(4) == b"\xff\xff\xff\xff"
                file.seek(0)
                table = (ipc.open_stream if is_stream else ipc.open_file)(file).read_all()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is {words_for(path)} that cannot be read: {error}; it is damaged or cut short"
        ) from error
    kept = [name for name in table.column_names if not name.startswith("__index_level_")]
    columns = [_column(f"{path}, column {name}", table[name].combine_chunks()) for name in kept]
    if len(columns) == 1 and columns[0].ndim > 1:
        return columns[0]
    if nested := [name for name, column in zip(kept, columns, strict=True) if column.ndim > 1]:
        raise ValueError(f"{path}: {nested[0]} holds lists beside other columns; keep that column alone")
    if not columns:
        raise ValueError(f"{path} holds no column")
    return np.stack(columns, 1)


def _column(where: str, values: Any) -> NDArray[Any]:
    """A column of numbers (N,), or of equal lists of them (N, ...)."""
    shape: list[int] = [len(values)]
    while hasattr(values.type, "value_type"):
        sizes: set[Any] = {len(row) if row.is_valid else None for row in values}
        if len(sizes) != 1 or None in sizes:
            raise ValueError(
                f"{where}: lists of {len(sizes)} different lengths, or missing; all must have the same length"
            )
        values, shape = values.flatten(), [*shape, sizes.pop()]
    if values.null_count:
        raise ValueError(f"{where}: {values.null_count} values are missing; leave those rows out")
    array = np.asarray(values.to_numpy(zero_copy_only=False))
    return check_numbers(array, where).reshape(shape)
