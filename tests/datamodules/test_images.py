"""Images by name and from a folder: parts, labels, what is served, what is refused. All data are made here."""

import gzip
import hashlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import yaml
from PIL import Image
from scipy.io import savemat

import lightning_irl
from lightning_irl.command.cli import main
from lightning_irl.datamodules import DigitsDataModule, ImageDataModule
from lightning_irl.datamodules.augmentation import Augmentation
from lightning_irl.datamodules.image_files import ImageFiles, UnreadableImageError
from lightning_irl.errors import UserError

RNG = np.random.default_rng(0)
TRAIN, TRAIN_LABELS = RNG.integers(0, 256, (50, 12, 12), dtype=np.uint8), RNG.integers(0, 10, 50, dtype=np.uint8)
TEST, TEST_LABELS = RNG.integers(0, 256, (9, 12, 12), dtype=np.uint8), RNG.integers(0, 10, 9, dtype=np.uint8)
IDX = {
    "train-images-idx3-ubyte": TRAIN,
    "train-labels-idx1-ubyte": TRAIN_LABELS,
    "t10k-images-idx3-ubyte": TEST,
    "t10k-labels-idx1-ubyte": TEST_LABELS,
}


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(folder, compressed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in IDX.items():
        content = idx(array)
        (folder / (f"{name}.gz" if compressed else name)).write_bytes(gzip.compress(content) if compressed else content)
    return folder


def write_images(folder, names, size=(10, 8), mode="RGB"):
    """Files whose first pixel's red (or grey) is their number."""
    for number, name in enumerate(names):
        pixels = RNG.integers(0, 256, (*size, 3) if mode == "RGB" else size, dtype=np.uint8)
        pixels[0, 0] = number
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def numbers(part):
    """Of the files that a part holds."""
    return part[list(range(len(part)))][:, 0, 0, 0].tolist()


def all_numbers(data):
    return sorted(number for part in data.splits for number in numbers(part))


def served(data, part="val", **options):
    data.batch_size = options.get("batch_size", data.batch_size)
    data.num_workers = options.get("num_workers", data.num_workers)
    batches = list(getattr(data, f"{part}_dataloader")())
    return torch.cat([batch.samples for batch in batches]), torch.cat([batch.log_det for batch in batches])


# ---- by name


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("layout", ["", "FashionMNIST/raw"])
def test_idx_files_where_they_are(tmp_path, compressed, layout):
    write_idx(tmp_path / layout, compressed)
    data = ImageDataModule("fashion_mnist", str(tmp_path), batch_size=8)
    for part, images, labels in (
        ("train", TRAIN[:45], TRAIN_LABELS[:45]),
        ("val", TRAIN[45:], TRAIN_LABELS[45:]),
        ("test", TEST, TEST_LABELS),
    ):
        assert np.array_equal(getattr(data.splits, part).numpy()[:, 0], images)
        assert getattr(data.labels, part).tolist() == labels.tolist()
    assert data.event["kind"] == "image"
    assert data.event["shape"] == [1, 12, 12]
    assert data.num_workers == 0


def test_torchvision_reads_the_same(tmp_path):
    write_idx(tmp_path / "MNIST" / "raw")
    data = ImageDataModule("mnist", str(tmp_path), batch_size=8)
    theirs = torchvision.datasets.MNIST(tmp_path, train=True)
    assert torch.equal(torch.cat([data.splits.train, data.splits.val])[:, 0], theirs.data)
    assert torch.equal(torch.cat([data.labels.train, data.labels.val]), theirs.targets)


def test_sizes_of_the_parts(tmp_path):
    data = ImageDataModule("mnist", str(write_idx(tmp_path)), batch_size=4, train_size=7, val_size=3, test_size=2)
    assert np.array_equal(data.splits.train[:, 0], TRAIN[:7])
    assert np.array_equal(data.splits.val[:, 0], TRAIN[47:])
    assert np.array_equal(data.splits.test[:, 0], TEST[:2])
    assert [len(part) for part in data.labels] == [7, 3, 2]


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """Two files of training and one of tests, with their own checksums in the place of the published ones."""
    kind, folder = torchvision.datasets.CIFAR10, tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    colours = RNG.integers(0, 256, (50, 3 * 32 * 32), dtype=np.uint8)
    for name, rows in (("data_batch_1", slice(0, 20)), ("data_batch_2", slice(20, 40)), ("test_batch", slice(40, 50))):
        (folder / name).write_bytes(pickle.dumps({"data": colours[rows], "labels": list(range(50))[rows]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a"]}))
    lists = [[name, md5(folder / name)] for name in ("data_batch_1", "data_batch_2", "test_batch")]
    monkeypatch.setattr(kind, "train_list", lists[:2])
    monkeypatch.setattr(kind, "test_list", lists[2:])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(folder / "batches.meta")})
    return tmp_path, colours.reshape(-1, 3, 32, 32)


def test_cifar10(cifar10):
    root, colours = cifar10
    data = ImageDataModule("cifar10", str(root), batch_size=4)
    for part, rows in (("train", slice(0, 36)), ("val", slice(36, 40)), ("test", slice(40, 50))):
        assert np.array_equal(getattr(data.splits, part), colours[rows])
        assert getattr(data.labels, part).tolist() == list(range(50))[rows]
    assert data.alpha == 0.05
    grey = ImageDataModule("cifar10", str(root), batch_size=4, grey=True, size=8)
    assert grey.event["shape"] == [1, 8, 8]
    assert grey.alpha == 1e-6


def test_a_file_that_is_not_the_published_one_is_not_unpickled(cifar10):
    root, _ = cifar10
    (root / "cifar-10-batches-py" / "data_batch_2").write_bytes(b"\x80\x04other")
    with pytest.raises(ValueError, match=r"data_batch_2 is not the file that was published .* fetch it again"):
        ImageDataModule("cifar10", str(root), batch_size=4)


def test_svhn(tmp_path, monkeypatch):
    kind, lists = torchvision.datasets.SVHN, {}
    images = RNG.integers(0, 256, (32, 32, 3, 30), dtype=np.uint8)
    for part in ("train", "test"):
        path = tmp_path / f"{part}_32x32.mat"
        savemat(path, {"X": images, "y": np.arange(1, 31)[:, None] % 10 + 1})
        lists[part] = ["", path.name, md5(path)]
    monkeypatch.setattr(kind, "split_list", lists)
    data = ImageDataModule("svhn", str(tmp_path), batch_size=4)
    assert [len(part) for part in data.splits] == [27, 3, 30]
    assert np.array_equal(data.splits.test, images.transpose(3, 2, 0, 1))
    assert set(data.labels.test.tolist()) == set(range(10))  # the file's 10 is the digit 0


@pytest.fixture
def celeba(tmp_path):
    names = [f"{number:06d}.png" for number in range(12)]
    base = tmp_path / "celeba"
    write_images(base / "img_align_celeba", names, size=(22, 18))
    parts = [0] * 6 + [1] * 4 + [2] * 2
    (base / "list_eval_partition.txt").write_text("".join(f"{n} {p}\n" for n, p in zip(names, parts, strict=True)))
    rows = "".join(f"{name}  {1 if number % 2 else -1} -1\n" for number, name in enumerate(names))
    (base / "list_attr_celeba.txt").write_text(f"12\nSmiling Young\n{rows}")
    return tmp_path


@pytest.mark.parametrize("root", ["", "celeba"])
def test_celeba(celeba, root):
    data = ImageDataModule("celeba", str(celeba / root), batch_size=2, num_workers=0)
    assert all(isinstance(part, ImageFiles) for part in data.splits)
    assert [numbers(part) for part in data.splits] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9], [10, 11]]
    assert data.event["shape"] == [3, 22, 18]
    assert data.labels.train.tolist() == [[number % 2, 0] for number in range(6)]
    small = ImageDataModule("celeba", str(celeba), batch_size=2, size=8, val_size=3, train_size=5, num_workers=0)
    assert [len(part) for part in small.splits] == [5, 3, 2]
    assert next(iter(small.train_dataloader())).samples.shape == (2, 3, 8, 8)


def test_celeba_without_an_image(celeba):
    (celeba / "celeba" / "img_align_celeba" / "000007.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 12 images are not in .*, such as 000007\.png; unpack"):
        ImageDataModule("celeba", str(celeba), batch_size=2)


# ---- a folder


NAMES = [f"{folder}/{number:02d}.{kind}" for folder in "ab" for number in range(10) for kind in ("png", "BMP")]


def test_a_folder_is_split_once_and_for_all(tmp_path):
    write_images(tmp_path, [*NAMES, ".hidden/x.png"])
    (tmp_path / "notes.txt").write_text("not an image")
    first, other = (ImageDataModule("folder", str(tmp_path), batch_size=4, seed=seed) for seed in (0, 7))
    assert [len(part) for part in first.splits] == [32, 4, 4]
    assert all_numbers(first) == list(range(40))  # each once
    for mine, theirs in zip(first.splits, other.splits, strict=True):
        assert torch.equal(mine, theirs)
    assert first.labels is None
    assert first.event["shape"] == [3, 10, 8]


@pytest.mark.parametrize("present", [("train", "val", "test"), ("train", "test"), ("train", "val")])
def test_subfolders_are_the_parts(tmp_path, present):
    names = {part: [f"{part}/{number}.png" for number in range(20)] for part in present}
    write_images(tmp_path, [name for part in present for name in names[part]])
    data = ImageDataModule("folder", str(tmp_path), batch_size=4)
    sizes = {
        "train": 20 - 2 * (3 - len(present)),
        "val": 20 if "val" in present else 2,
        "test": 20 if "test" in present else 2,
    }
    assert {part: len(images) for part, images in data.splits._asdict().items()} == sizes
    for place, part in enumerate(present):
        mine = set(numbers(getattr(data.splits, part)))
        assert mine <= set(range(20 * place, 20 * place + 20))
    assert all_numbers(data) == list(range(20 * len(present)))


def test_a_folder_called_train_among_others_is_a_class(tmp_path):
    write_images(tmp_path, [f"{kind}/{number}.png" for kind in ("train", "plane") for number in range(10)])
    assert [len(part) for part in ImageDataModule("folder", str(tmp_path), batch_size=4).splits] == [16, 2, 2]


@pytest.mark.parametrize("size", [None, 6])
@pytest.mark.parametrize("grey", [None, True])
def test_images_read_when_served_are_those_in_memory(tmp_path, size, grey):
    write_images(tmp_path, NAMES)
    held, read = (
        ImageDataModule("folder", str(tmp_path), batch_size=4, size=size, grey=grey, memory_limit=limit)
        for limit in (2**27, 0)
    )
    assert isinstance(held.splits.train, torch.Tensor)
    assert isinstance(read.splits.train, ImageFiles)
    assert held.event == read.event
    for part in ("val", "test"):
        for mine, theirs in zip(served(held, part), served(read, part, num_workers=0), strict=True):
            assert torch.equal(mine, theirs)


def test_a_folder_of_grey_images_is_grey(tmp_path):
    write_images(tmp_path, NAMES, mode="L")
    assert ImageDataModule("folder", str(tmp_path), batch_size=4).event["shape"] == [1, 10, 8]
    assert ImageDataModule("folder", str(tmp_path), batch_size=4, grey=False).event["shape"] == [3, 10, 8]
    write_images(tmp_path, ["colour.png"])
    assert ImageDataModule("folder", str(tmp_path), batch_size=4).event["shape"] == [3, 10, 8]


def test_names_in_any_alphabet(tmp_path):
    write_images(tmp_path, ["é.png", "日本.png", "a b.png", *NAMES])
    data = ImageDataModule("folder", str(tmp_path), batch_size=4, memory_limit=0)
    assert all_numbers(data) == list(range(43))


# ---- what is served


@pytest.mark.parametrize("transform", ["scale", "logit"])
def test_served_images_are_their_levels_plus_noise(tmp_path, transform):
    data = ImageDataModule("mnist", str(write_idx(tmp_path)), batch_size=4, transform=transform, alpha=0.05)
    samples, log_det = served(data, "test")
    unit = samples if transform == "scale" else (torch.sigmoid(samples.double()) - 0.05) / 0.9
    noise = unit.double() * 256 - data.splits.test
    assert -1e-4 < noise.min() < noise.max() < 1 + 1e-4  # rounding of logits in single precision, in levels
    assert log_det.shape == (9,)
    assert data.event["support"] == ("box" if transform == "scale" else "real")


def test_noise_of_evaluation_depends_on_the_seed_and_the_image_alone(tmp_path):
    root = str(write_idx(tmp_path))
    first = served(ImageDataModule("mnist", root, batch_size=8))[0]
    for options in ({"batch_size": 2}, {"num_workers": 2}):
        torch.manual_seed(5)
        assert torch.equal(served(ImageDataModule("mnist", root, batch_size=8), **options)[0], first)
    assert not torch.equal(served(ImageDataModule("mnist", root, batch_size=8, seed=1))[0], first)


def test_training_is_a_function_of_the_seed_and_the_epoch_alone(tmp_path):
    root = str(write_idx(tmp_path))

    def epoch(number, num_workers=0, **options):
        data = ImageDataModule(
            "mnist", root, batch_size=8, augment=["flip", "shift"], num_workers=num_workers, **options
        )
        loader = data.train_dataloader()
        loader.sampler.set_epoch(number)
        before = torch.get_rng_state()
        samples = torch.cat([batch.samples for batch in loader])
        assert torch.equal(torch.get_rng_state(), before)  # a run's own random numbers do not notice
        return samples

    first = epoch(3)
    torch.manual_seed(5)
    assert torch.equal(epoch(3), first)
    assert torch.equal(epoch(3, num_workers=2), first)
    others = epoch(4), epoch(3, seed=1)
    assert not any(torch.equal(other.flatten().sort()[0], first.flatten().sort()[0]) for other in others)


def test_augmentation_is_of_training_alone(tmp_path):
    plain, augmented = (
        ImageDataModule("mnist", str(write_idx(tmp_path)), batch_size=45, augment=augment)
        for augment in ((), ("flip", "shift"))
    )
    for part in ("val", "test"):
        assert torch.equal(served(plain, part)[0], served(augmented, part)[0])
    assert torch.equal(served(plain, "train")[0].mul(256).floor().sum((1, 2, 3)).sort().values.int(), totals())
    assert not torch.equal(served(augmented, "train")[0].mul(256).floor().sum((1, 2, 3)).sort().values.int(), totals())


def totals():
    return torch.from_numpy(TRAIN[:45].sum((1, 2)).astype(np.int32)).sort().values


def test_flips_and_shifts():
    image = torch.arange(12, dtype=torch.uint8).view(1, 1, 3, 4)
    batch = image.expand(400, 2, 3, 4)
    flipped = Augmentation(["flip"])(batch)
    share = sum(torch.equal(one, image[0].flip(-1).expand(2, 3, 4)) for one in flipped) / 400
    assert share == pytest.approx(0.5, abs=4 * 0.5 / 20)  # 4 standard errors
    assert all(
        torch.equal(one, image[0].expand(2, 3, 4)) or torch.equal(one, image[0].flip(-1).expand(2, 3, 4))
        for one in flipped
    )
    shifted = Augmentation(["shift"], max_shift=1)(batch)
    padded = torch.nn.functional.pad(image.float(), (1, 1, 1, 1), mode="replicate")[0, 0].to(torch.uint8)
    windows = {tuple(padded[r : r + 3, c : c + 4].flatten().tolist()) for r in range(3) for c in range(3)}
    assert {tuple(one[0].flatten().tolist()) for one in shifted} == windows
    assert torch.equal(shifted[:, 0], shifted[:, 1])
    assert shifted.dtype == torch.uint8


def test_digits_of_another_size():
    digits, large = DigitsDataModule(), DigitsDataModule(size=28)
    assert large.event["shape"] == [1, 28, 28]
    assert torch.equal(large.labels.test, digits.labels.test)
    assert DigitsDataModule(size=8).event == digits.event
    assert large.splits.train.dtype == torch.uint8
    assert large.splits.train.max() > 240
    means = [
        part.double().flatten(1).mean(1) / (levels - 1)
        for part, levels in ((digits.splits.test, 17), (large.splits.test, 256))
    ]
    assert (means[0] - means[1]).abs().max() < 0.05  # of 1: the same pictures
    samples, log_det = served(large, "test")
    assert torch.equal((samples * 256).floor().to(torch.uint8), large.splits.test)
    torch.testing.assert_close(log_det, torch.full((200,), -784 * np.log(256).astype(np.float32)))
    with pytest.raises(ValueError, match="size is 0; it must be at least 1"):
        DigitsDataModule(size=0)


# ---- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "fashion_minst"}, "no images named 'fashion_minst'; did you mean fashion_mnist"),
        ({"size": 0}, "size is 0; it must be at least 1 pixel"),
        ({"transform": "tanh"}, "transform is 'tanh'; allowed: scale, logit"),
        ({"alpha": 0.5}, r"alpha is 0\.5; it must be at least 0 and below 0\.5"),
        ({"augment": ["flp"]}, "no augmentation 'flp'; did you mean flip"),
        ({"augment": ["shift"], "max_shift": 0}, "max_shift is 0; a shift is by at least 1 pixel"),
        ({"augment": ["shift"], "max_shift": 12}, "max_shift is 12, but images are 12 x 12"),
        ({"train_size": 46}, "train_size is 46 .* there are 45 training images besides 5 for validation"),
        ({"test_size": 10}, "test_size 10, .* and 9 test images"),
        ({"val_size": 50}, "train, val and test have 0, 50 and 9 images; each part needs at least 1"),
        ({"val_size": 0}, "val_size is 0; it must be at least 1"),
        ({"batch_size": 46}, "batch_size is 46, but there are 45 training demonstrations"),
        ({"num_workers": -1}, "num_workers is -1"),
        ({"name": "folder", "download": True}, "cannot be downloaded"),
    ],
)
def test_bad_options(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        ImageDataModule(**({"name": "mnist", "root": str(write_idx(tmp_path)), "batch_size": 8} | options))


@pytest.mark.parametrize("name", ["mnist", "cifar10", "svhn", "celeba"])
def test_what_is_missing_and_the_two_remedies(tmp_path, name):
    for root, words in ((tmp_path / "nowhere", "no folder"), (tmp_path, f"{name}: no ")):
        with pytest.raises(FileNotFoundError) as raised:
            ImageDataModule(name, str(root))
        message = str(raised.value)
        assert message.startswith(words)
        assert str(root) in message
        assert "set data.root" in message
        assert "data.download=true" in message
        assert len(message) < 300 + 2 * len(str(root))


def test_one_missing_file_is_named(tmp_path):
    (write_idx(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"mnist: no t10k-labels-idx1-ubyte in .* with or without \.gz"):
        ImageDataModule("mnist", str(tmp_path))


def spoil(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", idx(TRAIN)[:-5], r"holds 7195 bytes of data, but its header says \[50, 12, 12\]"),
        ("train-images-idx3-ubyte", idx(TRAIN)[:9], "is not an idx file of unsigned bytes in 3 dimensions"),
        ("train-images-idx3-ubyte", b"", "is not an idx file"),
        ("train-labels-idx1-ubyte", idx(TRAIN), "is not an idx file of unsigned bytes in 1 dimensions"),
        ("train-images-idx3-ubyte.gz", gzip.compress(idx(TRAIN))[:-2000], "cannot be read: .* cut short"),
        ("train-images-idx3-ubyte.gz", b"not a gzip", "cannot be read: .* damaged"),
        ("train-images-idx3-ubyte.gz", gzip.compress(idx(TRAIN))[:40] + b"\xff" * 99, "cannot be read: .* damaged"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, name, content, message):
    write_idx(tmp_path)
    (tmp_path / name.removesuffix(".gz")).unlink()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} {message}"):
        ImageDataModule("mnist", str(tmp_path), batch_size=8)


def test_labels_of_other_images(tmp_path):
    (write_idx(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx(TRAIN_LABELS[:-1]))
    with pytest.raises(ValueError, match="has 50 training images, but 49 labels"):
        ImageDataModule("mnist", str(tmp_path), batch_size=8)


def test_bad_folders(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no images \(png, .*\) in .*; set data\.root to the folder that holds"
    ):
        ImageDataModule("folder", str(tmp_path))
    write_images(tmp_path, ["a.png", "b.png"])
    with pytest.raises(ValueError, match=r"has 2 images .* leaves 0 for train_size=all; each part needs at least 1"):
        ImageDataModule("folder", str(tmp_path), batch_size=1)
    write_images(tmp_path, NAMES)
    write_images(tmp_path, ["odd.png"], size=(5, 9))
    with pytest.raises(
        ValueError, match=r"\.\w+ is \d+ x \d+ and .*\.\w+ is \d+ x \d+ \(height x width\); set size"
    ) as raised:
        ImageDataModule("folder", str(tmp_path), batch_size=1)
    assert "odd.png is 5 x 9" in str(raised.value)
    assert "10 x 8" in str(raised.value)
    assert ImageDataModule("folder", str(tmp_path), batch_size=1, size=5).event["shape"] == [3, 5, 5]


@pytest.mark.parametrize("limit", [0, 2**27])
@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_a_file_whose_header_is_no_images_is_named_early(tmp_path, content, limit):
    write_images(tmp_path, NAMES)
    if content is None:
        Image.fromarray(np.zeros((10, 8), dtype=np.uint16)).save(tmp_path / "odd.png")
    else:
        (tmp_path / "odd.png").write_bytes(content)
    words = "odd.png has more than 8 bits a channel" if content is None else "odd.png cannot be read"
    with pytest.raises(UnreadableImageError, match=words):
        ImageDataModule("folder", str(tmp_path), batch_size=4, memory_limit=limit)


def cut_short(path):
    """The header stays."""
    path.write_bytes(path.read_bytes()[:120])


def test_an_image_cut_short_is_named(tmp_path):
    write_images(tmp_path, NAMES)
    cut_short(tmp_path / "a/03.png")
    with pytest.raises(
        UnreadableImageError, match=r"image .*a/03\.png cannot be read \(.*truncated.*\); fix or remove it"
    ):
        ImageDataModule("folder", str(tmp_path), batch_size=4)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_image_that_goes_bad_is_named_wherever_it_is_read(tmp_path, num_workers):
    write_images(tmp_path, NAMES)
    data = ImageDataModule("folder", str(tmp_path), batch_size=4, memory_limit=0, num_workers=num_workers)
    cut_short(data.splits.train.path(11))
    with pytest.raises(UnreadableImageError) as raised:
        list(data.train_dataloader())
    name = data.splits.train.path(11)
    assert str(raised.value).startswith(f"image {name} cannot be read")
    assert "\n" not in str(raised.value)


# ---- downloads


def test_a_download_goes_through_torchvision_once(tmp_path, monkeypatch):
    calls = []

    class Fake:
        __name__ = "MNIST"

        def __call__(self, root, download):
            calls.append(write_idx(Path(root) / "MNIST" / "raw"))

    monkeypatch.setattr(torchvision.datasets, "MNIST", Fake())
    for _ in range(2):
        data = ImageDataModule("mnist", str(tmp_path / "new"), download=True, batch_size=8)
        assert len(data.splits.train) == 45
    assert len(calls) == 1


def test_a_download_that_fails(tmp_path, monkeypatch):
    def fail(root, download):
        raise RuntimeError("no route to host")

    fail.__name__ = "MNIST"
    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    with pytest.raises(
        UserError, match=r"mnist could not be downloaded into .*: no route to host; put its files there"
    ):
        ImageDataModule("mnist", str(tmp_path), download=True)


# ---- memory


MEASURE = """
import json
import torch
from torch.utils.data import DataLoader
from lightning_irl.datamodules.dequantised import DequantisedImages
from lightning_irl.datamodules.image_files import ImageFiles
from lightning_irl.datamodules.workers import share_memory
from lightning_irl.datamodules.memory import Splits


def private():
    "MiB that this process has for itself."
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


class Probe:
    "Unpickles to the memory at that time."

    def __reduce__(self):
        return private, ()


class Everything(DequantisedImages):
    "Memory before its data came to the worker, and after all of it was read."

    def __init__(self, levels, files):
        self.before = Probe()  # first, so that it is unpickled first
        super().__init__(levels, 256, "scale")
        self.files = files

    def __getitems__(self, indices):
        before = private() if isinstance(self.before, Probe) else self.before
        super().__getitems__(indices)
        for some in self.levels.split(512):
            some.max()
        for index in range(0, len(self.files), 50):
            self.files.path(index)
        return before, private()


if __name__ == "__main__":
    torch.set_num_threads(1)
    number, grown = 100_000, {}
    for method in ("fork", "spawn"):
        levels = torch.zeros(number, 1, 28, 28, dtype=torch.uint8)
        files = ImageFiles("/", [f"{name:0200d}.png" for name in range(number)], [1, 28, 28], True)
        SHARE
        everything = Everything(levels, files)
        loader = DataLoader(everything, 4, num_workers=1, multiprocessing_context=method, collate_fn=list)
        before, after = next(iter(loader))
        grown[method] = after - before
    print(json.dumps(grown))
"""


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="measures memory by /proc")
def test_a_workers_own_memory_does_not_hold_the_images(tmp_path):
    """75 MiB of images and 19 MiB of names, of which a worker that is forked or spawned has no copy of its own."""
    script = tmp_path / "measure.py"
    script.write_text(MEASURE.replace("SHARE", "share_memory(Splits(levels, files, files))"))
    paths = {"PYTHONPATH": str(Path(lightning_irl.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env={**os.environ, **paths})
    assert done.returncode == 0, done.stderr
    grown = json.loads(done.stdout)
    assert set(grown) == {"fork", "spawn"}
    assert max(grown.values()) < 12, grown


# ---- the command line


TINY = {
    "model": {
        "class_path": "EBM",
        "init_args": {
            "cost": {"class_path": "MLPCost", "init_args": {"hidden": [8]}},
            "sampler": {"class_path": "GaussianSampler"},
        },
    },
    "data": {
        "class_path": "ImageDataModule",
        "init_args": {"batch_size": 4, "steps_per_epoch": 2, "size": 4, "grey": True},
    },
    "trainer": {"max_epochs": 1, "enable_progress_bar": False, "accelerator": "cpu", "default_root_dir": "run"},
    "partition": {"methods": ["importance"], "num_samples": 64},
    "samples": {"every_n_epochs": 0},
    "threads": 1,
}


def fit(name, *arguments):
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY))
    return main(["fit", "--config", "tiny.yaml", f"--data.name={name}", "--data.root=data", *arguments])


@pytest.mark.long
def test_a_run_on_images(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write_idx(tmp_path / "data")
    assert fit("fashion_mnist", "--data.augment=[flip,shift]", "--data.max_shift=1", "--data.transform=logit") == 0
    assert "bits_per_dim" in capfd.readouterr().out


@pytest.mark.long
def test_a_run_that_meets_a_bad_image_names_it(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "data", NAMES)
    monkeypatch.setattr("lightning_irl.datamodules.images.LOOKED_AT", 1)
    for name in NAMES[1:]:
        cut_short(tmp_path / "data" / name)
    assert fit("folder", "--data.memory_limit=0", "--data.num_workers=1") == 2
    error = capfd.readouterr().err
    message = error[error.index("lightning-irl: ") :]
    assert message.startswith("lightning-irl: image data/")
    assert "cannot be read" in message
    assert "Traceback" not in error
    assert len(message.splitlines()) == 1
