"""A folder of your own images: which files are found, which part each goes to, and what is left out and why."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from torchvision.datasets.folder import IMG_EXTENSIONS

PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
COMPARED = 2**16  # first bytes of a file; with the same size and the same first bytes, files count as the same
NAMED = 3  # in a message


class Found(NamedTuple):
    """Image files under a folder.

    Attributes:
        names: relative to the folder, sorted.
        left_out: how many files were not taken, by reason.
    """

    names: list[str]
    left_out: Counter[str]


def find_images(folder: Path) -> Found:
    """All image files under a folder, links followed, each folder once however many links lead to it.

    Hidden files and folders, files whose name does not end as an image's, and broken links are left out and counted.
    """
    names: list[str] = []
    left_out: Counter[str] = Counter()
    # Folders first and links to folders after all of them, so that real files keep their own names.
    seen, waiting, links = set(), [folder], list[Path]()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        if (identity := _identity(here)) in seen:
            left_out["linked folder that was read already"] += 1
            continue
        seen.add(identity)
        for entry in sorted(os.scandir(here), key=lambda entry: entry.name):
            path = here / entry.name
            if entry.name.startswith("."):
                left_out["hidden"] += 1
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.is_dir():
                links.append(path)
            elif not entry.is_file():
                left_out["broken link" if entry.is_symlink() else "no file"] += 1
            elif entry.name.lower().endswith(IMG_EXTENSIONS):
                names.append(path.relative_to(folder).as_posix())
            else:
                left_out[path.suffix.lower() or "without an ending"] += 1
    return Found(sorted(names), left_out)


def parts_of(root: Path) -> dict[str, str]:
    """The subfolder of each part that has one, whatever the case of its name.

    Raises:
        ValueError: if two subfolders are the same part.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for path in sorted(root.iterdir()):
        for part, spellings in PARTS.items():
            if path.name.lower() in spellings and path.is_dir():
                folders[part].append(path.name)
    for part, names in folders.items():
        if len(names) > 1:
            raise ValueError(
                f"{root} holds the folders {' and '.join(names)}, both of which are {part}; rename or join them"
            )
    return {part: folders[part][0] for part in PARTS if part in folders}


def same_in_two_parts(root: Path, parts: dict[str, list[str]]) -> str | None:
    """How many held-out images are training images too, by size and first bytes, with an example; None if none."""
    sizes: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for part, names in parts.items():
        for name in names:
            sizes[(root / name).stat().st_size].append((part, name))
    pairs: list[tuple[str, str]] = []
    for group in sizes.values():
        if len({part for part, _ in group}) > 1:
            pairs += _twins(root, group)
    if not pairs:
        return None
    held_out, trained = pairs[0]
    return f"{len(pairs)} held-out images are among the training images too, such as {held_out}, which is {trained}"


def _twins(root: Path, files: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    trained: dict[bytes, str] = {}
    held_out: list[tuple[bytes, str]] = []
    for part, name in files:
        with (root / name).open("rb") as file:
            digest = hashlib.sha256(file.read(COMPARED)).digest()
        if part == "train":
            trained.setdefault(digest, name)
        else:
            held_out.append((digest, name))
    yield from ((name, trained[digest]) for digest, name in held_out if digest in trained)


def same_stems(names: Iterable[str]) -> str | None:
    """Names that differ in their ending alone, as an image and its mask do; None where there are none."""
    stems: dict[str, list[str]] = defaultdict(list)
    for name in names:
        stems[name.rpartition(".")[0]].append(name)
    twice = [group for group in stems.values() if len(group) > 1]
    return f"{len(twice)} names differ in their ending alone, such as {' and '.join(twice[0])}" if twice else None


def in_words(counts: Counter[str]) -> str:
    """Counts in words, the most frequent first.

    Example:
        >>> in_words(Counter({"hidden": 1, ".txt": 2}))
        '2 .txt, 1 hidden'
    """
    return ", ".join(
        f"{number} {what}" for what, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino
