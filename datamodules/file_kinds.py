"""What a file is, from its first bytes, not its name, and which arrays it holds; nothing is ever unpickled."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

HEAD = 4096  # bytes that are looked at
NAMED = 8  # arrays in a message
LINES = 20  # of a text that are looked at

STARTS = (
    (b"\x93NUMPY", "npy"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"MATLAB 7.3 MAT-file", "hdf5"),
    (b"MATLAB 5.0 MAT-file", "matlab"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"SQLite format 3\x00", "sqlite"),
    (b"%PDF", "pdf"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"II*\x00", "image"),
    (b"MM\x00*", "image"),
    (b"version https://git-lfs", "lfs"),
    (b"<", "markup"),
)
PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))

WORDS = {
    "missing": "no file",
    "folder": "a folder",
    "empty": "an empty file",
    "npy": "a NumPy array (.npy)",
    "npz": "a NumPy archive of arrays (.npz)",
    "torch": "a file of torch.save",
    "zip": "a zip archive",
    "hdf5": "an HDF5 file",
    "matlab": "a MATLAB file (.mat)",
    "parquet": "a Parquet file",
    "arrow": "an Arrow file",
    "gzip": "compressed by gzip",
    "bzip2": "compressed by bzip2",
    "xz": "compressed by xz",
    "zstandard": "compressed by Zstandard",
    "sqlite": "a SQLite database",
    "pdf": "a PDF",
    "image": "an image",
    "lfs": "a Git LFS pointer in place of the file (`git lfs pull` fetches it)",
    "markup": "HTML or XML, such as the page of a download that failed",
    "pickle": "a pickle, which could run code when it is read",
    "json": "JSON",
    "table": "a table of text (CSV)",
    "text": "text",
    "binary": "of an unknown kind",
}


class Array(NamedTuple):
    """An array or a column in a file, not yet read.

    Attributes:
        name: as the file has it; in HDF5 with its groups, ``group/name``.
        shape: of the array; a dimension of unknown size is -1.
        dtype: its type, in the words of the file's library.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


def kind_of(path: str | Path) -> str:
    """The kind of a file, a key of :data:`WORDS`, by its first bytes.

    Example:
        >>> kind_of("there/is/no/such.file")
        'missing'
    """
    path = Path(path)
    if path.is_dir():
        return "folder"
    if not path.exists():
        return "missing"
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return "empty"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(path)
    if head.startswith(PICKLES):
        return "pickle"
    text = _text(head)
    for start, kind in STARTS:
        if head.startswith(start) and (kind != "markup" or text is not None):
            return kind
    return "binary" if text is None else _kind_of_text(text)


def words_for(path: str | Path) -> str:
    """What a file is, in words that follow "is".

    Example:
        >>> words_for("there/is/no/such.file")
        'no file'
    """
    return WORDS[kind_of(path)]


def arrays_in(path: str | Path) -> list[Array] | None:
    """The arrays or columns of a ``.npy`` or ``.npz`` file, of HDF5, Parquet or Arrow, from headers alone.

    None where the kind has none, the file is damaged, or the package that would read it (h5py, pyarrow) is not
    installed.
    """
    reader = {"npy": _of_npy, "npz": _of_npz, "hdf5": _of_hdf5, "parquet": _of_parquet, "arrow": _of_arrow}
    kind = kind_of(path)
    if kind not in reader:
        return None
    try:
        return reader[kind](Path(path))
    except Exception:  # each library has its own errors for a damaged file; the caller reports them when it reads
        return None


def names_of(arrays: Iterable[Array]) -> str:
    """Arrays by name and shape, the first few, for a message.

    Example:
        >>> names_of([Array("obs", (5, 3), "float32"), Array("acts", (4,), "int64")])
        'obs (5, 3), acts (4,)'
    """
    each = [f"{array.name} ({', '.join(map(_size, array.shape))}{',' * (len(array.shape) == 1)})" for array in arrays]
    return ", ".join(each[:NAMED]) + (f" and {len(each) - NAMED} more" if len(each) > NAMED else "")


def _size(size: int) -> str:
    return "?" if size < 0 else str(size)


def _text(head: bytes) -> str | None:
    """The start of a file as text, None where it is not text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) // 2 * 2].decode("utf-16", errors="replace")
    if any(byte < 32 and byte not in b"\t\n\r\f\v" for byte in head):
        return None
    return head.decode("utf-8-sig", errors="replace")


def _kind_of_text(text: str) -> str:
    if text.lstrip().startswith(("{", "[")):
        return "json"
    return "text" if separator_of(text) is None else "table"


def separator_of(text: str) -> str | None:
    """The separator of the columns of a text table, a blank for any whitespace; None where it is not a table.

    A table has rows of one length, with a number in the last one. A last line that may be cut short counts only if it
    is alone.

    Example:
        >>> separator_of("x;y\\n1,5;2\\n"), separator_of("# made by hand\\n1 2\\n3 4"), separator_of("Dear all, hello")
        (';', ' ', None)
    """
    lines = [line for line in text.splitlines()[:LINES] if line.strip() and not line.startswith("#")]
    rows = lines[:-1] if len(lines) > 1 and not text.endswith("\n") else lines
    for separator in (";", "\t", ","):
        table = [row.split(separator) for row in rows]
        if (
            rows
            and len(table[0]) > 1
            and {len(row) for row in table} == {len(table[0])}
            and any(map(is_number, table[-1]))
        ):
            return separator
    fields = [row.split() for row in rows]
    if rows and {len(row) for row in fields} == {len(fields[0])} and all(map(is_number, fields[-1])):
        return " "
    return None


def is_number(text: str) -> bool:
    """Whether a field of a table is a number, with a comma or a point.

    Example:
        >>> is_number("1,5"), is_number(" nan "), is_number("x1")
        (True, True, False)
    """
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return "zip"
    if any(name.endswith("/data.pkl") for name in names):
        return "torch"
    return "npz" if all(name.endswith(".npy") for name in names) else "zip"


def _header(name: str, file: IO[bytes]) -> Array:
    version = np.lib.format.read_magic(file)
    read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return Array(name, tuple(shape), str(dtype))


def _of_npy(path: Path) -> list[Array]:
    with path.open("rb") as file:
        return [_header(path.stem, file)]


def _of_npz(path: Path) -> list[Array]:
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with archive.open(name) as file:
                found.append(_header(name.removesuffix(".npy"), file))
    return found


def _of_hdf5(path: Path) -> list[Array]:
    h5py = importlib.import_module("h5py")
    found: list[Array] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(Array(name, tuple(item.shape or ()), str(item.dtype)))

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def _of_parquet(path: Path) -> list[Array]:
    parquet = importlib.import_module("pyarrow.parquet")
    with parquet.ParquetFile(path) as file:
        return _columns(file.schema_arrow, file.metadata.num_rows)


def _of_arrow(path: Path) -> list[Array]:
    ipc = importlib.import_module("pyarrow.ipc")
    with path.open("rb") as file:
        is_stream = file.read(4) == b"\xff\xff\xff\xff"
    with path.open("rb") as file:
        return _columns((ipc.open_stream if is_stream else ipc.open_file)(file).schema, -1)


def _columns(schema: Any, rows: int) -> list[Array]:
    return [Array(column.name, (rows,), str(column.type)) for column in schema]
