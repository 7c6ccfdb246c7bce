"""Images in files: found, looked at, and read a batch at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from lightning_irl.datamodules.dequantised import central_square
from lightning_irl.errors import UserError

GREY_MODES = ("1", "L", "LA", "La")  # of PIL
READ_AT_ONCE = 1024  # files


class UnreadableImageError(UserError):
    """An image file that cannot be read; the message names it.

    Raised in a worker process, it comes back with the worker's traceback in front, of which only the message is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition("UnreadableImageError: ")[2].strip())


class Survey(NamedTuple):
    """What the headers of image files say.

    Attributes:
        size: height and width of the first.
        is_grey: whether all are grey.
    """

    size: tuple[int, int]
    is_grey: bool


def find_images(folder: Path) -> list[str]:
    """Names of all image files under a folder, relative to it, sorted; hidden ones are left out."""
    names = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found = [name for name in files if name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")]
        names += [(Path(parent) / name).relative_to(folder).as_posix() for name in found]
    return sorted(names)


def survey(root: Path, names: Sequence[str], must_match: bool) -> Survey:
    """Look at the header of every file.

    Args:
        root: folder that the names are relative to.
        names: of image files.
        must_match: whether all must have one size.

    Raises:
        UnreadableImageError: if a file is no image, or has more than 8 bits a channel.
        ValueError: if sizes differ and must not; names two files and their sizes.
    """
    first: tuple[int, int] | None = None
    is_grey = True
    for name in names:
        try:
            with Image.open(root / name) as image:
                size, mode = (image.height, image.width), image.mode
        except Exception as error:  # PIL's formats raise of every kind
            raise _unreadable(root / name, error) from error
        _check_mode(root / name, mode)
        is_grey &= mode in GREY_MODES
        first = first or size
        if must_match and size != first:
            raise ValueError(
                f"{root / names[0]} is {first[0]} x {first[1]} and {root / name} is {size[0]} x {size[1]} (height x width); set "
                "size to resize all to one"
            )
    if first is None:
        raise ValueError("no files to look at")
    return Survey(first, is_grey)


def read_image(path: Path, channels: int, size: int | None) -> Tensor:
    """One image as levels (C, H, W), uint8; with ``size`` its central square, resized (bilinear, antialiased).

    Transparency is dropped.

    Raises:
        UnreadableImageError: naming the file.
    """
    try:
        with Image.open(path) as image:
            _check_mode(path, image.mode)
            converted = image.convert("L" if channels == 1 else "RGB")
    except UnreadableImageError:
        raise
    except Exception as error:  # PIL's formats raise of every kind
        raise _unreadable(path, error) from error
    if size is not None:
        top, left, side = central_square(converted.height, converted.width)
        box = (left, top, left + side, top + side)
        converted = converted.resize((size, size), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(converted).reshape(converted.height, converted.width, channels)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


class ImageFiles:
    """Image files that are read when they are served: ``files[indices]`` are levels (B, C, H, W), uint8.

    Names are kept in one tensor of bytes, which worker processes share; a list of them would be copied by each.

    Args:
        root: folder that the names are relative to.
        names: of the files.
        shape: [C, H, W] of every image as read.
        is_resized: whether images are resized to that shape; otherwise they must have it.
    """

    def __init__(self, root: Path, names: Sequence[str], shape: Sequence[int], is_resized: bool) -> None:
        encoded = np.array([os.fsencode(name) for name in names], dtype=bytes)
        self.names = torch.from_numpy(encoded.view(np.uint8).reshape(len(names), -1).copy())
        self.root, self.is_resized = str(root), is_resized
        self.shape = torch.Size([len(names), *shape])

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> Path:
        """Of one file."""
        return Path(self.root, os.fsdecode(self.names[index].numpy().tobytes().rstrip(b"\0")))

    def __getitem__(self, indices: list[int]) -> Tensor:
        levels = torch.empty(len(indices), *self.shape[1:], dtype=torch.uint8)
        for place, index in enumerate(indices):
            path = self.path(index)
            image = read_image(path, self.shape[1], self.shape[2] if self.is_resized else None)
            if image.shape != self.shape[1:]:
                found, expected = list(image.shape), list(self.shape[1:])
                raise UnreadableImageError(
                    f"{path} has shape {found}, the others {expected}; set size to resize all to one"
                )
            levels[place] = image
        return levels

    def read(self) -> Tensor:
        """All of them, (N, C, H, W), uint8."""
        parts = torch.arange(len(self)).split(READ_AT_ONCE)
        return torch.cat([self[part.tolist()] for part in parts])

    def share_memory_(self) -> ImageFiles:
        """Move the names to shared memory."""
        self.names.share_memory_()
        return self


def _check_mode(path: Path, mode: str) -> None:
    if mode.startswith(("I", "F")):
        raise UnreadableImageError(f"{path} has more than 8 bits a channel (mode {mode}); convert it to 8 bits")


def _unreadable(path: Path, error: Exception) -> UnreadableImageError:
    text = str(error).replace("\n", " ")
    return UnreadableImageError(f"image {path} cannot be read ({text or type(error).__name__}); mend or remove it")
