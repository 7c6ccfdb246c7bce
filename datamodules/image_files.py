"""Images in files: surveyed by their headers, and read a batch at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lightning_irl.datamodules.dequantised import central_square
from lightning_irl.errors import UserError

GREY_MODES = ("1", "L", "LA", "La")  # of PIL
READ_AT_ONCE = 1024  # files
ORIENTATION, UPRIGHT, TURNED = 0x0112, 1, (5, 6, 7, 8)  # EXIF: its tag, no turn, turns by a quarter
MOST_OF_BYTES = 255


class UnreadableImageError(UserError):
    """An image file that cannot be read; the message names it.

    Raised in a worker process, it arrives with the worker's traceback in front; only the message is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition("UnreadableImageError: ")[2].strip())


class Survey(NamedTuple):
    """What the headers of image files say.

    Attributes:
        size: height and width of the first.
        is_grey: whether all are grey.
        shown: how many are changed when they are served, by what is done to them.
    """

    size: tuple[int, int]
    is_grey: bool
    shown: Counter[str]


def survey(root: Path, names: Sequence[str], must_match: bool) -> Survey:
    """Look at the header of every file.

    Args:
        root: folder that the names are relative to.
        names: of image files.
        must_match: whether all must have one size.

    Raises:
        UnreadableImageError: if a file is not an image, or has more than 8 bits a channel.
        ValueError: if sizes differ and must not; the message names two files and their sizes.
    """
    first: tuple[int, int] | None = None
    is_grey = True
    shown: Counter[str] = Counter()
    for name in names:
        try:
            with Image.open(root / name) as image:
                is_turned = _orientation(image) in TURNED
                size, mode = (image.width, image.height) if is_turned else (image.height, image.width), image.mode
                shown.update(_changes(image))
        except Exception as error:  # each of PIL's formats has its own errors
            raise _unreadable(root / name, error) from error
        _check_mode(root / name, mode)
        is_grey &= mode in GREY_MODES
        first = first or size
        if must_match and size != first:
            raise ValueError(
                f"{root / names[0]} is {first[0]} x {first[1]} and {root / name} is {size[0]} x {size[1]} (height x "
                "width); set size to resize all to one"
            )
    if first is None:
        raise ValueError("no files to look at")
    return Survey(first, is_grey, shown)


def read_image(path: Path, channels: int, size: int | None) -> Tensor:
    """One image as levels (C, H, W), uint8; with ``size`` its central square, resized (bilinear, antialiased).

    It is what a viewer shows: turned as its EXIF orientation says, on white where it is transparent, the first page,
    the 8 highest bits of 16.

    Raises:
        UnreadableImageError: naming the file.
    """
    try:
        with Image.open(path) as image:
            _check_mode(path, image.mode)
            converted = _as_seen(image).convert("L" if channels == 1 else "RGB")
    except UnreadableImageError:
        raise
    except Exception as error:  # each of PIL's formats has its own errors
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
        """The path of one file."""
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
        """All images (N, C, H, W), uint8."""
        parts = torch.arange(len(self)).split(READ_AT_ONCE)
        return torch.cat([self[part.tolist()] for part in parts])

    def share_memory_(self) -> ImageFiles:
        """Move the names to shared memory."""
        self.names.share_memory_()
        return self


def _as_seen(image: Image.Image) -> Image.Image:
    """Turned upright, and on white where it is transparent."""
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return upright
    colours = upright.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)


def _changes(image: Image.Image) -> list[str]:
    """What is done to an image so that it is served as it is seen; from its header."""
    changes = {
        "turned as EXIF says": _orientation(image) != UPRIGHT,
        "with transparency shown on white": image.has_transparency_data,
        "of 16 bits a channel read in 8": _has_sixteen_bits(image),
        "of which the first page alone is read": getattr(image, "n_frames", 1) > 1,
    }
    return [change for change, is_made in changes.items() if is_made]


def _orientation(image: Image.Image) -> int:
    # getexif would decode a PNG that has none, to look behind its pixels.
    return UPRIGHT if image.format == "PNG" and "exif" not in image.info else image.getexif().get(ORIENTATION, UPRIGHT)


def _has_sixteen_bits(image: Image.Image) -> bool:
    """Whether colours have 16 bits, which PIL reads as 8; for grey images the mode says so."""
    for tile in getattr(image, "tile", []):
        decoder, arguments = tile[0], tile[3]
        values = arguments if isinstance(arguments, tuple) else (arguments,)
        if any(";16" in str(value) for value in values):
            return True
        if decoder == "ppm" and any(isinstance(value, int) and value > MOST_OF_BYTES for value in values):
            return True
    return False


def _check_mode(path: Path, mode: str) -> None:
    if mode.startswith(("I", "F")):
        raise UnreadableImageError(f"{path} has more than 8 bits a channel (mode {mode}); convert it to 8 bits")


def _unreadable(path: Path, error: Exception) -> UnreadableImageError:
    text = str(error).replace("\n", " ")
    return UnreadableImageError(f"image {path} cannot be read ({text or type(error).__name__}); fix or remove it")
