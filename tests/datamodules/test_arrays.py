"""Arrays of one's own: whatever file or object they come in, declared grey levels, and what single precision or a
lattice costs.
"""

import importlib
import io
import math
import warnings

import numpy as np
import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest
import torch
import yaml
from PIL import Image

from lightning_irl.command.cli import main
from lightning_irl.datamodules import ArrayDataModule, ImageDataModule
from lightning_irl.datamodules.dequantised import to_levels

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(40, 2))


def served(data):
    """All samples, in the order of the array's first coordinate."""
    parts = torch.cat(list(data.splits)).flatten(1)
    return parts[parts[:, 0].argsort()].double().numpy()


def same_as_points(data):
    return np.array_equal(served(data), POINTS[POINTS[:, 0].argsort()].astype(np.float32))


def test_no_word_about_points_of_a_density():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ArrayDataModule(POINTS, batch_size=8)
        ArrayDataModule(RNG.random((30, 2, 6, 6)).astype(np.float32), batch_size=8)


# ---- files


def to_text(path, separator=",", header="", decimal=".", encoding="utf-8", index=False):
    rows = [separator.join(repr(float(value)).replace(".", decimal) for value in row) for row in POINTS]
    rows = [f"{number}{separator}{row}" for number, row in enumerate(rows)] if index else rows
    path.write_text(header + "\n".join(rows) + "\n", encoding=encoding)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"header": "x,y\n"},
        {"header": "# made by hand\nx,y\n", "encoding": "utf-8-sig"},
        {"separator": ";", "decimal": ",", "header": "x;y\n"},
        {"separator": "\t", "encoding": "utf-16"},
        {"separator": " ", "header": "x y\n"},
    ],
)
def test_tables_of_text(tmp_path, options):
    path = tmp_path / "t.csv"
    to_text(path, **options)
    assert same_as_points(ArrayDataModule(str(path), batch_size=8))


def test_parquet_and_arrow(tmp_path):
    path = tmp_path / "t"
    columns = pyarrow.table({"x": POINTS[:, 0], "y": POINTS[:, 1], "__index_level_0__": np.arange(40)})
    pyarrow.parquet.write_table(columns, path)
    assert same_as_points(ArrayDataModule(path, batch_size=8))
    lists = pyarrow.table({"x": POINTS.tolist()})
    for write in (pyarrow.ipc.new_file, pyarrow.ipc.new_stream):
        with path.open("wb") as file, write(file, lists.schema) as writer:
            writer.write_table(lists)
        assert same_as_points(ArrayDataModule(path, batch_size=8))
    images = pyarrow.table({"image": RNG.random((30, 2, 3, 4)).tolist()})
    pyarrow.parquet.write_table(images, path)
    assert ArrayDataModule(path, batch_size=8).event["shape"] == [2, 3, 4]


def test_an_archive_names_its_arrays(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, samples=POINTS)
    assert same_as_points(ArrayDataModule(str(path), batch_size=8))
    np.savez(path, other=np.zeros(3), samples=POINTS)
    assert same_as_points(ArrayDataModule(str(path), array="samples", batch_size=8))
    with pytest.raises(
        ValueError, match=r"a\.npz holds other \(3,\), samples \(40, 2\); choose one, such as array=other"
    ):
        ArrayDataModule(str(path))
    with pytest.raises(ValueError, match=r"holds no array 'sample'; it has other \(3,\), samples \(40, 2\)"):
        ArrayDataModule(str(path), array="sample")


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "points.npy", POINTS)
    assert same_as_points(ArrayDataModule("~/points.npy", batch_size=8))


def hdf5(path):
    h5py = importlib.import_module("h5py")
    with h5py.File(path, "w") as file:
        file["x"] = POINTS


def npz_cut(path):
    np.savez(path.with_suffix(".npz"), x=POINTS)
    path.write_bytes(path.with_suffix(".npz").read_bytes()[:200])


def objects(path):
    np.savez(path.with_suffix(".npz"), x=np.array([{}], object))
    path.with_suffix(".npz").rename(path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), "is an empty file; samples are a .npy"),
        (lambda path: path.write_text("a,b\nc,d\n"), "is text; samples are"),
        (lambda path: path.write_text("a,b\n1,x\n2,3\n3,4\n"), "is a table, but not of numbers alone: .*'x'"),
        (lambda path: path.write_text("a,b\n1,\n2,3\n3,4\n"), "is a table, but not of numbers alone: .*gaps"),
        (lambda path: path.write_text("a,b\n1,nan\n2,3\n3,4\n4,5\n"), "1 of 4 samples hold NaN"),
        (lambda path: to_text(path, header=",x,y\n", index=True), r"the first column has no name and counts the rows"),
        (hdf5, r"is an HDF5 file; it holds x \(40, 2\); samples are .*np\.save"),
        (lambda path: Image.new("L", (4, 4)).save(path, "PNG"), "is an image; .*ImageDataModule reads images"),
        (lambda path: path.mkdir(), "is a folder; .*ImageDataModule reads a folder of images"),
        (lambda path: torch.save(torch.zeros(9, 2), path), r"is a file of torch\.save; .*np\.save"),
        (lambda path: path.write_text("<!DOCTYPE html>"), "is HTML or XML, such as the page of a download that failed"),
        (npz_cut, "is a zip archive; samples are"),
        (objects, "x holds Python objects, which could run code"),
        (lambda path: pyarrow.parquet.write_table(pyarrow.table({"x": ["a"]}), path), "column x is not a plain"),
        (lambda path: pyarrow.parquet.write_table(pyarrow.table({"x": [1.0, None]}), path), "x: 1 values are missing"),
        (lambda path: pyarrow.parquet.write_table(pyarrow.table({"x": [[1.0], [1.0, 2.0]]}), path), "x: lists of 2"),
        (lambda path: path.write_bytes(b"PAR1" + bytes(40)), "is a Parquet file that cannot be read: .*damaged"),
    ],
)
def test_files_that_hold_no_array_say_what_they_are(tmp_path, write, message):
    path = tmp_path / "data"
    write(path)
    with pytest.raises(ValueError, match=message):
        ArrayDataModule(str(path), batch_size=1)


def test_an_array_cut_short(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, POINTS)
    (tmp_path / "x.npy").write_bytes(buffer.getvalue()[:-9])
    with pytest.raises(ValueError, match=r"x\.npy is not a plain \.npy array of numbers: .*cut short"):
        ArrayDataModule(str(tmp_path / "x.npy"))


# ---- objects in memory


@pytest.mark.parametrize(
    "of",
    [list, tuple, lambda x: x.tolist(), torch.tensor, lambda x: [torch.tensor(row) for row in x], np.asfortranarray],
)
def test_lists_and_tensors(of):
    assert same_as_points(ArrayDataModule(of(POINTS), batch_size=8))


def test_tensors_that_numpy_does_not_take():
    assert ArrayDataModule(torch.tensor(POINTS, requires_grad=True), batch_size=8).event["shape"] == [2]
    assert ArrayDataModule(torch.randn(40, 2).bfloat16(), batch_size=8).event["shape"] == [2]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (POINTS + 1j, r"samples holds complex numbers \(complex128\); .*np\.stack\(\[x\.real, x\.imag\], -1\)"),
        (torch.zeros(9, 2, dtype=torch.complex64), "samples holds complex numbers"),
        ([[1.0, 2.0], [3.0]], "samples are not an array"),
        ([torch.zeros(2), torch.zeros(3)], "samples differ in shape"),
        (np.array([[1, None]], object), "samples is not a plain .*: it holds Python objects"),
        (np.zeros((9, 2), "M8[s]"), "it holds dates"),
        (np.ma.masked_less(POINTS, 0), r"\d+ values of samples are masked"),
        (np.zeros((0, 2)), r"samples have shape \[0, 2\], which is empty"),
        (POINTS * 1e300, r"beyond the range of single precision .*: rescale them"),
        (3.0, r"samples have shape \[\]; give"),
        (
            RNG.random((20, 8, 8, 3)),
            r"shape \[20, 8, 8, 3\], .* channels last; give \(N, C, H, W\): np\.moveaxis\(x, -1, 1\)",
        ),
        (POINTS[:1], "of 1 samples, validation takes 1 and test 1, which leaves 0 to train on; .* give 4 samples"),
        (POINTS[:3], "of 3 samples, validation takes 1 and test 1, which leaves 1 to train on; at least 2"),
        (RNG.random((2, 1, 4, 4)), "leaves 0 to train on; at least 1 must be left: give 3 samples"),
    ],
)
def test_what_is_no_array_of_samples(samples, message):
    with pytest.raises(ValueError, match=message):
        ArrayDataModule(samples, batch_size=1)


def test_the_fewest_samples():
    assert [len(part) for part in ArrayDataModule(POINTS[:4], batch_size=1).splits] == [2, 1, 1]
    assert [len(part) for part in ArrayDataModule(RNG.random((3, 1, 4, 4)), batch_size=1).splits] == [1, 1, 1]


# ---- single precision


def test_location_and_scale_are_of_double_precision():
    """The mean of 1e4 + noise, as double precision has it, rounded once."""
    far = RNG.normal(size=(4000, 1)) + 1e4
    data = ArrayDataModule(far, batch_size=8, seed=3)
    train = torch.from_numpy(far)[torch.randperm(4000, generator=torch.Generator().manual_seed(3))[:3200]]
    assert data.event["location"] == train.mean(0).float().tolist()
    assert data.event["scale"] == train.std(0).float().tolist()


def test_what_single_precision_loses_is_said():
    far = np.stack([RNG.normal(size=600), 1e7 + RNG.normal(size=600)], 1)
    with pytest.warns(
        UserWarning, match=r"of 480 distinct values of coordinate 1, single precision keeps \d \(.*x - x\.mean"
    ):
        ArrayDataModule(far, batch_size=8)


def test_what_single_precision_makes_constant_is_refused_for_that_reason():
    near = np.stack([RNG.normal(size=600), 1e8 + 3 + 0.1 * RNG.random(size=600)], 1)
    with pytest.raises(
        ValueError, match=r"cannot tell them apart: of 480 distinct values of coordinate 1, .* keeps 1 "
    ):
        ArrayDataModule(near, batch_size=8)
    near[:, 1] = 5
    with pytest.raises(ValueError, match="a coordinate of the data is constant"):
        ArrayDataModule(near, batch_size=8)


# ---- lattices and ties


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (
            RNG.integers(0, 17, (40, 1, 8, 8)) / 16,
            r"pixels: 17 distinct values, 0\.0625 apart, from 0 to 1: .*levels=L",
        ),
        (RNG.integers(0, 256, (40, 3, 8, 8)), r"pixels: 256 distinct values, 1 apart, from 0 to 255"),
        (np.where(RNG.random((40, 1, 8, 8)) < 0.2, 0, RNG.random((40, 1, 8, 8))), r"pixels: \d\d% of values are 0"),
        (
            np.stack([POINTS[:, 0], RNG.integers(0, 9, 40)], 1),
            r"coordinate 1: 9 distinct values, 1 apart, .*: add noise",
        ),
        (np.round(RNG.normal(size=(400, 3)), 1), r"coordinate 0: .* 0\.1 apart, .* \(and 2 more coordinates\)"),
        (RNG.random((40, 2)) < 0.5, r"coordinate 0: 2 distinct values"),
    ],
)
def test_values_that_repeat_are_said_once(samples, words):
    with pytest.warns(UserWarning, match="samples repeat values, ") as said:
        ArrayDataModule(samples, batch_size=8)
    (line,) = [str(warning.message) for warning in said]
    assert "\n" not in line
    with pytest.warns(UserWarning, match=words.replace(": add", ".*add").replace(": .*", ".*")):
        ArrayDataModule(samples, batch_size=8)


# ---- declared levels

LEVELS = RNG.integers(0, 17, (60, 1, 8, 8))


@pytest.mark.parametrize("scale", ["levels", "float", "unit", "box"])
def test_one_set_of_images_is_one_whatever_its_scale(scale):
    values = {
        "levels": LEVELS,
        "float": LEVELS.astype(float),
        "unit": (LEVELS / 16).astype(np.float32),
        "box": LEVELS / 8 - 1,
    }
    edges = {"low": -1, "high": 1} if scale == "box" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = ArrayDataModule(values[scale], levels=17, batch_size=8, **edges)
    same = ArrayDataModule(LEVELS, levels=17, batch_size=8)
    assert data.event == same.event
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(data.splits, same.splits, strict=True))
    for part in ("val", "test"):
        (mine,), (theirs,) = (list(getattr(one, f"{part}_dataloader")()) for one in (data, same))
        assert torch.equal(mine.samples, theirs.samples)
        assert torch.equal(mine.log_det, torch.full((6,), -64 * math.log(17)))
    batch = next(iter(data.train_dataloader()))
    assert 0 <= batch.samples.min() < batch.samples.max() <= 1


def test_levels_are_dequantised_as_a_folders(tmp_path):
    pixels = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
    folder = ImageDataModule("folder", str(tmp_path), batch_size=4, transform="logit")
    order = torch.cat(list(folder.splits)).numpy()
    data = ArrayDataModule(order, levels=256, batch_size=4, transform="logit")
    data.splits = folder.splits
    for mine, theirs in zip(data.val_dataloader(), folder.val_dataloader(), strict=True):
        assert torch.equal(mine.samples, theirs.samples)
        assert torch.equal(mine.log_det, theirs.log_det)
    assert data.alpha == folder.alpha == 1e-6


def test_discrete_levels_are_counted():
    data = ArrayDataModule(LEVELS, levels=17, transform="discrete", batch_size=8)
    assert (data.event["base_measure"], data.event["levels"]) == ("counting", 17)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (
            RNG.random((20, 1, 4, 4)),
            {"levels": 17},
            r"% of values, such as 0\.\d+, are not on the 17 levels from 0 to 1",
        ),
        (LEVELS, {"levels": 16}, r"such as 16, are not on the 16 levels from 0 to 15; give levels 0 to 15"),
        (LEVELS / 8 - 1, {"levels": 17}, "are not on the 17 levels"),
        (LEVELS, {"levels": 1}, "levels is 1; the number of grey levels is from 2"),
        (LEVELS, {"transform": "logit"}, "set levels, such as 256"),
        (LEVELS, {"alpha": 0.1}, "set levels, such as 256"),
        (LEVELS[:, 0], {"levels": 17}, r"\(N, C, H, W\) images to have levels \(x\[:, None\] adds the channel"),
        (POINTS, {"levels": 17}, "images to have levels"),
        (LEVELS, {"array": "x"}, "array is 'x', but samples are not an .npz file"),
    ],
)
def test_bad_levels(values, options, message):
    with pytest.raises(ValueError, match=message):
        ArrayDataModule(values, batch_size=4, **options)


def test_sixteen_bits():
    values = np.array([0, 65535], dtype=np.uint16)
    assert to_levels(values, 65536).tolist() == [0, 65535]


# ---- the command line

TINY = {
    "model": {
        "class_path": "GAN",
        "init_args": {
            "cost": {"class_path": "MLPCost", "init_args": {"hidden": [8]}},
            "sampler": {"class_path": "GaussianSampler"},
        },
    },
    "data": {"class_path": "ArrayDataModule", "init_args": {"batch_size": 8, "steps_per_epoch": 2}},
    "trainer": {"max_epochs": 1, "enable_progress_bar": False, "accelerator": "cpu", "default_root_dir": "run"},
    "partition": {"methods": ["importance"], "num_samples": 64},
    "samples": {"every_n_epochs": 0, "pool": 64, "moves": 2},
    "threads": 1,
}


@pytest.fixture
def fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    return lambda *arguments: main(["fit", "--config", "tiny.yaml", *arguments])


@pytest.mark.long
def test_nats_alone_unless_levels_are_declared(fit, tmp_path, capfd):
    np.save("images.npy", LEVELS / 16)
    assert fit("--data.samples=images.npy") == 0
    out = capfd.readouterr().out
    assert "nll_sampler" in out
    assert "bits_per_dim" not in out
    assert fit("--data.samples=images.npy", "--data.levels=17", "--trainer.default_root_dir=other") == 0
    assert "bits_per_dim" in capfd.readouterr().out


@pytest.mark.long
def test_images_of_two_channels_are_drawn(fit, tmp_path):
    np.save("images.npy", RNG.random((40, 2, 6, 6)))
    assert fit("--data.samples=images.npy", "--data.low=0", "--data.high=1") == 0
    drawn = {path.parent.name + path.name for path in tmp_path.rglob("*.png")}
    assert any("grid" in name for name in drawn), drawn
    assert any("chain" in name for name in drawn), drawn


@pytest.mark.long
def test_a_table_by_name(fit, tmp_path):
    to_text(tmp_path / "t.csv", header="x,y\n")
    assert fit("--data.samples", "t.csv", "--data.batch_size=4", "--trainer.limit_val_batches=1") == 0
