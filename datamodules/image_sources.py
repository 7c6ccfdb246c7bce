"""Named sets of images, from files on disk or downloaded, in their fixed parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from lightning_irl.datamodules.idx import read_idx
from lightning_irl.datamodules.image_folders import (
    Found,
    find_images,
    in_words,
    parts_of,
    same_in_two_parts,
    same_stems,
)
from lightning_irl.errors import UserError
from lightning_irl.spaces.served import Splits

SPLIT_SEED = 0  # the split is part of the data: the same for every seed of a run
HELD_OUT = 10  # one in so many training images is for validation, unless the user or the data says otherwise
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

NAMED = 4  # missing files


class Source(NamedTuple):
    """Images of each part, and where there are any, their labels.

    Attributes:
        images: of each part levels (N, C, H, W), uint8, or names of files relative to ``root``.
        labels: of each part the class (N,), or attributes (N, K); None where there are none.
        root: folder of the files.
        how: for a folder, how its images were split into parts, and what was left out.
        doubts: what may be wrong with the split.
    """

    images: Splits
    labels: Splits | None
    root: Path
    how: str = ""
    doubts: tuple[str, ...] = ()


class Sizes(NamedTuple):
    """How many images of each part are used; None for all there are, or for a share of them."""

    train: int | None = None
    val: int | None = None
    test: int | None = None


def read_source(name: str, root: Path, download: bool, sizes: Sizes) -> Source:
    """The images of that name.

    Raises:
        FileNotFoundError: if the folder or files in it are missing; the message says which, and what to do.
        ValueError: if files are damaged, or there are fewer images than asked for.
        UserError: if a download fails.
    """
    if name == "folder" and download:
        raise ValueError("a folder holds your own images, which cannot be downloaded; leave out download")
    if not root.is_dir() and not download:
        raise FileNotFoundError(f"no folder {root}; {_remedies(name, 'images')}")
    return SOURCES[name](name, root, download, sizes)


def _remedies(name: str, what: str) -> str:
    if name == "folder":
        return f"set data.root to the folder that holds the {what}"
    return f"set data.root to the folder that holds the {what} of {name}, or data.download=true to fetch them into it"


def _require(name: str, root: Path, missing: list[str], where: str = "") -> None:
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        lacking = ", ".join(missing[:NAMED]) + more
        raise FileNotFoundError(f"{name}: no {lacking} in {root}{where}; {_remedies(name, 'files')}")


def _download(name: str, root: Path, fetch: Callable[[], Any]) -> None:
    """Fetch once, even if several processes ask."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}.lock"):
            fetch()
    except (RuntimeError, OSError, ImportError) as error:
        raise UserError(f"{name} could not be downloaded into {root}: {error}; put its files there yourself") from error


def _in_memory(root: Path, sizes: Sizes, arrays: tuple[Tensor, Tensor, Tensor, Tensor]) -> Source:
    """Training and test images with their labels, in that order; the last training images are for validation."""
    images, labels, test_images, test_labels = arrays
    for part, (some, their) in {"training": (images, labels), "test": (test_images, test_labels)}.items():
        if len(some) != len(their):
            raise ValueError(f"{root} has {len(some)} {part} images, but {len(their)} labels; fetch the files again")
    held_out = len(images) // HELD_OUT if sizes.val is None else sizes.val
    train, val, test = _used(sizes, len(images), held_out, len(test_images))
    first = len(images) - val
    used = [
        (images[:train], labels[:train]),
        (images[first:], labels[first:]),
        (test_images[:test], test_labels[:test]),
    ]
    return Source(Splits(*(some for some, _ in used)), Splits(*(their.long() for _, their in used)), root)


def _used(sizes: Sizes, available: int, held_out: int, available_test: int) -> tuple[int, int, int]:
    """How many images of each part, where ``held_out`` of the training images are for validation."""
    test = available_test if sizes.test is None else sizes.test
    left = available - held_out
    train = left if sizes.train is None else sizes.train
    if held_out < 1 or test < 1 or train < 1:
        raise ValueError(
            f"train, val and test have {train}, {held_out} and {test} images; each part needs at least 1: "
            "add images, or set train_size, val_size and test_size"
        )
    if train > left or test > available_test:
        raise ValueError(
            f"train_size is {train} and test_size {test}, but there are {left} training images besides {held_out} for "
            f"validation, and {available_test} test images; lower them"
        )
    return train, held_out, test


def _idx(name: str, root: Path, download: bool, sizes: Sizes) -> Source:
    kind = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[name]
    raw = root / kind.__name__ / "raw"

    def find(file: str) -> Path | None:
        candidates = [folder / f"{file}{suffix}" for folder in (raw, root) for suffix in ("", ".gz")]
        return next((path for path in candidates if path.is_file()), None)

    if download and not all(map(find, IDX_FILES)):
        _download(name, root, lambda: kind(root, download=True))
    found = {file: find(file) for file in IDX_FILES}
    missing = [file for file, path in found.items() if path is None]
    _require(name, root, missing, f" or {kind.__name__}/raw in it, with or without .gz")
    paths = [path for path in found.values() if path is not None]
    images, labels, test_images, test_labels = (
        read_idx(path, 3 if "images" in file else 1) for file, path in zip(IDX_FILES, paths, strict=True)
    )
    return _in_memory(root, sizes, (images[:, None], labels, test_images[:, None], test_labels))


def _cifar10(name: str, root: Path, download: bool, sizes: Sizes) -> Source:
    kind = datasets.CIFAR10
    files = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
    paths = {root / kind.base_folder / file: md5 for file, md5 in files}
    if download:
        _download(name, root, lambda: kind(root, download=True))
    _verify(name, root, paths)
    parts = kind(root, train=True), kind(root, train=False)
    train, test = ((torch.from_numpy(part.data).permute(0, 3, 1, 2), torch.tensor(part.targets)) for part in parts)
    return _in_memory(root, sizes, (*train, *test))


def _svhn(name: str, root: Path, download: bool, sizes: Sizes) -> Source:
    kind = datasets.SVHN
    paths = {root / file: md5 for _, file, md5 in (kind.split_list[part] for part in ("train", "test"))}
    if download:
        _download(name, root, lambda: [kind(root, split=part, download=True) for part in ("train", "test")])
    _verify(name, root, paths)
    parts = kind(root, split="train"), kind(root, split="test")
    train, test = ((torch.from_numpy(np.ascontiguousarray(part.data)), torch.from_numpy(part.labels)) for part in parts)
    return _in_memory(root, sizes, (*train, *test))


def _verify(name: str, root: Path, paths: dict[Path, str]) -> None:
    """Check that the files are there and as published, since torchvision unpickles them."""
    _require(name, root, [path.relative_to(root).as_posix() for path in paths if not path.is_file()])
    for path, md5 in paths.items():
        if not check_integrity(path, md5):
            raise ValueError(f"{path} is not the file that was published (its md5 is not {md5}); fetch it again")


def _celeba(name: str, root: Path, download: bool, sizes: Sizes) -> Source:
    base = root / datasets.CelebA.base_folder
    if download:
        _download(name, root, lambda: datasets.CelebA(root, download=True))
    base = base if base.is_dir() else root
    folder, partition, attributes = (
        base / file for file in ("img_align_celeba", "list_eval_partition.txt", "list_attr_celeba.txt")
    )
    missing = [path.name for path in (folder, partition) if not path.exists()]
    _require(name, root, missing, f" or {datasets.CelebA.base_folder} in it")
    names, parts = _table(partition)[:, :2].T
    on_disk = set(find_images(folder).names)
    if absent := [file for file in names if file not in on_disk]:
        raise FileNotFoundError(
            f"{name}: {len(absent)} of {len(names)} images are not in {folder}, such as {absent[0]}; "
            "unpack img_align_celeba.zip there again"
        )
    where = [np.flatnonzero(parts == part) for part in ("0", "1", "2")]
    held_out = len(where[1]) if sizes.val is None else sizes.val
    if held_out > len(where[1]):
        raise ValueError(f"val_size is {held_out}, but there are {len(where[1])} validation images; lower it")
    train, val, test = _used(sizes, len(where[0]) + held_out, held_out, len(where[2]))
    used = [index[:number] for index, number in zip(where, (train, val, test), strict=True)]
    labels = None
    if attributes.is_file():
        table = torch.from_numpy((_table(attributes, skipped=2)[:, 1:] == "1").astype(np.int64))
        if len(table) != len(names):
            raise ValueError(f"{attributes} has {len(table)} rows, {partition} {len(names)}; fetch them again")
        labels = Splits(*(table[torch.from_numpy(index)] for index in used))
    return Source(Splits(*(names[index].tolist() for index in used)), labels, folder)


def _table(path: Path, skipped: int = 0) -> np.ndarray[Any, Any]:
    """A text file of columns separated by spaces, as text.

    Raises:
        ValueError: naming the file, if it has fewer than two columns, or rows differ in length.
    """
    try:
        table = np.loadtxt(path, dtype=str, skiprows=skipped, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} is not a table: {error}; fetch it again") from error
    if table.shape[1] < 2:
        raise ValueError(f"{path} is not a table of two columns or more; fetch it again")
    return table


def _folder(name: str, root: Path, download: bool, sizes: Sizes) -> Source:
    """Each list of files has a fixed shuffle, so that its first files are a random choice."""
    folders = parts_of(root)
    alone = ""
    if "train" not in folders or len(folders) < 2:
        if folders:
            lacking = "val or test" if "train" in folders else "train"
            alone = (
                f"images of {' and '.join(folders.values())} are pooled with all others, "
                f"since there is no folder {lacking}"
            )
        folders = {}
        found = _images_in(root)
        given = {"train": _shuffled(found.names)}
        left_out, how = found.left_out, "by a fixed shuffle"
    else:
        given, left_out = {}, Counter[str]()
        for part, folder in folders.items():
            found = _images_in(root / folder)
            given[part] = _shuffled([f"{folder}/{file}" for file in found.names])
            left_out += found.left_out
        beside = [file for file in find_images(root).names if file.partition("/")[0] not in folders.values()]
        left_out.update({"outside the folders of the parts": len(beside)} if beside else {})
        how = "as the folders " + ", ".join(folders.values()) + " say"
    total, left = len(given["train"]), given["train"]
    wanted = sizes._asdict()
    for part in ("test", "val"):
        if part not in given:
            number = max(1, total // HELD_OUT) if wanted[part] is None else wanted[part]
            given[part], left = left[:number], left[number:]
            wanted[part] = number
            how += f", {part} a part of {folders['train']}" if folders else ""
    given["train"] = left
    used = {part: given[part][: wanted[part]] for part in Splits._fields}
    for part, files in used.items():
        if not files or len(files) < (wanted[part] or 1):
            raise ValueError(
                f"{root} has {total} images to train on and to hold out from, "
                f"which leaves {len(files)} for {part}_size={wanted[part] or 'all'}; each part needs at least 1: "
                "add images, or change the sizes of the parts"
            )
    unused = sum(map(len, given.values())) - sum(map(len, used.values()))
    left_out.update({"beyond the sizes asked for": unused} if unused else {})
    if left_out:
        how += f"; not read: {in_words(left_out)}"
    doubts = (alone, same_in_two_parts(root, used), same_stems(file for files in used.values() for file in files))
    return Source(Splits(**used), None, root, how, tuple(doubt for doubt in doubts if doubt))


def _shuffled(files: list[str]) -> list[str]:
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(SPLIT_SEED))
    return [files[place] for place in order.tolist()]


def _images_in(folder: Path) -> Found:
    found = find_images(folder)
    if not found.names:
        has = f" (it holds {in_words(found.left_out)})" if found.left_out else ""
        raise FileNotFoundError(
            f"no images (png, jpg, jpeg, bmp, ppm, pgm, tif, webp) in {folder} or folders "
            f"in it{has}; {_remedies('folder', 'images')}"
        )
    return found


SOURCES: dict[str, Callable[[str, Path, bool, Sizes], Source]] = {
    "mnist": _idx,
    "fashion_mnist": _idx,
    "cifar10": _cifar10,
    "svhn": _svhn,
    "celeba": _celeba,
    "folder": _folder,
}
