"""What a file is, by its first bytes: whatever it is called, and without reading it."""

import gzip
import io
import pickle

import h5py
import numpy as np
import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from lightning_irl.datamodules.file_kinds import WORDS, Array, arrays_in, kind_of, names_of, words_for

TABLE = pyarrow.table({"x": [1.0, 2.0], "y": [3, 4]})


def written(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def arrow(kind):
    def write(buffer):
        with kind(buffer, TABLE.schema) as writer:
            writer.write_table(TABLE)

    return written(write)


def hdf5(buffer):
    with h5py.File(buffer, "w") as file:
        file["data/obs"] = np.zeros((4, 3), np.float32)


FILES = {
    "npy": written(lambda buffer: np.save(buffer, np.zeros((2, 3)))),
    "npz": written(lambda buffer: np.savez(buffer, obs=np.zeros((5, 3)), acts=np.zeros(4, np.int64), n=np.array(1))),
    "torch": written(lambda buffer: torch.save({"x": torch.zeros(2)}, buffer)),
    "hdf5": written(hdf5),
    "matlab": written(lambda buffer: savemat(buffer, {"x": np.zeros(2)})),
    "parquet": written(lambda buffer: pyarrow.parquet.write_table(TABLE, buffer)),
    "gzip": gzip.compress(b"1,2\n"),
    "pickle": pickle.dumps([1, 2]),
    "image": written(lambda buffer: Image.new("L", (2, 2)).save(buffer, "PNG")),
    "empty": b"",
    "json": b' {"a": 1}\n',
    "markup": b"<!DOCTYPE html>\n<html></html>\n",
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n",
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("kind", FILES)
def test_kinds_by_first_bytes(tmp_path, kind):
    path = tmp_path / "data.npy"  # what it is called says nothing
    path.write_bytes(FILES[kind])
    assert kind_of(path) == kind
    assert words_for(path) == WORDS[kind]


@pytest.mark.parametrize("kind", [pyarrow.ipc.new_file, pyarrow.ipc.new_stream])
def test_both_formats_of_arrow(tmp_path, kind):
    path = tmp_path / "data"
    path.write_bytes(arrow(kind))
    assert kind_of(path) == "arrow"
    assert [array.name for array in arrays_in(path)] == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x,y\n1,2\n3,4\n", "table"),
        ("1;2\n3;4", "table"),
        ("x\n1,5;2\n", "text"),
        ("a;b\n1,5;2,5\n", "table"),
        ("# made by hand\n1 2\n3 4\n", "table"),
        ("1\n2\n", "table"),
        ("a,b\nc,d\n", "text"),
        ("Dear all, hello\n", "text"),
        ("import numpy as np, torch\nx = np.zeros((2, 3))\n", "text"),
        ("", "empty"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_text(tmp_path, text, kind, encoding):
    path = tmp_path / "data"
    path.write_bytes(text.encode(encoding) if text else b"")
    assert kind_of(path) == kind


def test_a_long_table_is_cut_within_a_row(tmp_path):
    path = tmp_path / "data"
    path.write_text("\n".join(",".join(["1.2345678"] * 200) for _ in range(9)))
    assert kind_of(path) == "table"


def test_what_is_there_at_all(tmp_path):
    assert kind_of(tmp_path) == "folder"
    assert kind_of(tmp_path / "x") == "missing"


def test_arrays_are_named_from_headers(tmp_path):
    path = tmp_path / "data"
    found = {}
    for kind in ("npy", "npz", "hdf5", "parquet"):
        path.write_bytes(FILES[kind])
        found[kind] = arrays_in(path)
    assert found["npy"] == [Array("data", (2, 3), "float64")]
    assert names_of(found["npz"]) == "obs (5, 3), acts (4,), n ()"
    assert found["hdf5"] == [Array("data/obs", (4, 3), "float32")]
    assert names_of(found["parquet"]) == "x (2,), y (2,)"


@pytest.mark.parametrize("kind", ["npz", "hdf5", "parquet"])
def test_a_damaged_file_names_nothing(tmp_path, kind):
    path = tmp_path / "data"
    path.write_bytes(FILES[kind][: len(FILES[kind]) // 2])
    assert arrays_in(path) is None


def test_an_archive_of_objects_is_not_unpickled(tmp_path):
    path = tmp_path / "data.npz"

    class Bomb:
        def __reduce__(self):
            return exec, ("raise SystemExit('unpickled')",)

    bombs = np.empty(1, object)
    bombs[0] = Bomb()
    np.savez(path, x=bombs)
    assert arrays_in(path) == [Array("x", (1,), "object")]


def test_many_arrays_are_counted():
    assert names_of([Array(f"a{index}", (-1,), "") for index in range(10)]).endswith("a7 (?,) and 2 more")
