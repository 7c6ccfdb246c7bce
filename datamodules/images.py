"""Images by name, or a folder of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.utils.data import Dataset

from lightning_irl.datamodules.augmentation import Augmentation
from lightning_irl.datamodules.dequantised import (
    DequantisedImages,
    SeededNoise,
    check_serving,
    default_alpha,
    image_event,
    resized,
)
from lightning_irl.datamodules.image_files import READ_AT_ONCE, ImageFiles, Survey, survey
from lightning_irl.datamodules.image_folders import in_words
from lightning_irl.datamodules.image_sources import SOURCES, Sizes, Source, read_source
from lightning_irl.datamodules.workers import WorkerDataModule
from lightning_irl.errors import did_you_mean
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.served import Splits

LEVELS = 256
LOOKED_AT = 1024  # training images that location and scale are taken from, where images are not in memory
LUMA = (19595, 38470, 7471)  # of red, green and blue in grey, over 2^16 (ITU-R 601-2), as in PIL


class ImageDataModule(WorkerDataModule):
    r"""MNIST, Fashion-MNIST, CIFAR-10, SVHN, CelebA, or a folder of images; 256 grey levels, dequantised.

    Training, validation and test parts are fixed: the data's own test part (and CelebA's own validation part);
    otherwise the last tenth of the training images validates. A folder is split by a fixed shuffle of its sorted names,
    8 : 1 : 1, or as its subfolders ``train``, ``val`` and ``test`` say (in any case; also ``training``, ``valid``,
    ``validation``, ``dev``, ``testing``); where ``val`` or ``test`` is missing, a tenth of ``train`` takes its place.
    One line says what was read and what was not.

    Images are dequantised with uniform noise, fresh in training and a function of the seed and the image in validation
    and test, and served on the unit box or through a logit. Bits per dimension of grey levels plus noise in [0, 256),
    :math:`-(\log p + \text{log\_det}) / (d \log 2)`, are an upper bound on those of the discrete images (Theis et al.
    2016, arXiv 1511.01844), and can be compared across transforms and with the literature at the same size and
    colours.

    Small data sets are held in memory as bytes, once for all workers. CelebA, and folders of more than ``memory_limit``
    bytes, are read from their files when they are served.

    Args:
        name: mnist, fashion_mnist, cifar10, svhn, celeba or folder.
        root: the folder that holds the files: in torchvision's layout; for mnist and fashion_mnist also the idx files
            themselves, gzip or not; for folder any image files, at any depth.
        download: whether to fetch what is missing into ``root``, by torchvision.
        size: height and width to which the central square of every image is resized (bilinear, antialiased); None for
            images as they are.
        grey: whether images have one channel; None for as they are (a folder's are grey if all its files are).
        augment: for the training part alone: ``flip`` (left to right, one in two), ``shift`` (each way by up to
            ``max_shift``).
        max_shift: in pixels.
        transform: ``scale`` to the box [0, 1], ``logit`` to all of R^d, or ``discrete``.
        alpha: of :math:`\text{logit}(\alpha + (1 - 2 \alpha) x)`; None for 1e-6 (grey images) or 0.05 (colour), as
            Papamakarios et al. 2017 (arXiv 1705.07057) use for MNIST and CIFAR-10; Dinh et al. 2017 (arXiv 1605.08803)
            use 0.05.
        train_size: number of training images, the first ones; None for all.
        val_size: number of validation images; None for the data's own, or a tenth of the training images.
        test_size: number of test images, the first ones; None for all.
        memory_limit: bytes of a folder's images up to which they are held in memory.
        **options: of :class:`~lightning_irl.datamodules.workers.WorkerDataModule`: ``batch_size``, ``steps_per_epoch``,
            ``num_workers``, ``pin_memory`` and ``seed``.

    Attributes:
        labels: the class of every image of each part; for CelebA its 40 attributes; None for a folder.

    Raises:
        FileNotFoundError: if the folder or files in it are missing.
        ValueError: if a value is not allowed, a file is damaged, or sizes differ in a folder without ``size``.
        UserError: if an image cannot be read, also in a worker (it names the file), or a download fails.

    Example:
        >>> ImageDataModule("fashion_minst", root="data")
        Traceback (most recent call last):
        ValueError: no images named 'fashion_minst'; did you mean fashion_mnist?
    """

    def __init__(
        self,
        name: str,
        root: str,
        download: bool = False,
        size: int | None = None,
        grey: bool | None = None,
        augment: Sequence[str] = (),
        max_shift: int = 2,
        transform: Literal["scale", "logit", "discrete"] = "scale",
        alpha: float | None = None,
        train_size: int | None = None,
        val_size: int | None = None,
        test_size: int | None = None,
        memory_limit: int = 2**27,
        **options: Any,
    ) -> None:
        if name not in SOURCES:
            raise ValueError(f"no images named {name!r}; {did_you_mean(name, SOURCES)}")
        if size is not None and size < 1:
            raise ValueError(f"size is {size}; it must be at least 1 pixel, or null for images as they are")
        for part, number in (("train", train_size), ("val", val_size), ("test", test_size)):
            if number is not None and number < 1:
                raise ValueError(f"{part}_size is {number}; it must be at least 1, or null")
        check_serving(transform, alpha or 0.0)
        self.augment = Augmentation(augment, max_shift) if augment else None
        source = read_source(name, Path(root).expanduser(), download, Sizes(train_size, val_size, test_size))
        if isinstance(source.images.train, Tensor):
            parts = Splits(*(convert(part, size, grey) for part in source.images))
        else:
            parts = open_files(source, size, grey, memory_limit, is_published=name == "celeba")
        shape = parts.train.shape[1:]
        if self.augment and self.augment.max_shift >= min(shape[1:]):
            raise ValueError(
                f"max_shift is {max_shift}, but images are {shape[1]} x {shape[2]}; shift by less than that"
            )
        self.transform = transform
        self.alpha = default_alpha(shape[0]) if alpha is None else alpha
        event = image_event(looked_at(parts.train), LEVELS, transform, self.alpha)
        super().__init__(event, parts, **options)
        self.name, self.labels = name, source.labels

    def train_set(self) -> Dataset[Batch]:
        return DequantisedImages(self.splits.train, LEVELS, self.transform, None, self.alpha, self.augment)

    def val_set(self) -> Dataset[Batch]:
        return self._fixed(self.splits.val, 1)

    def test_set(self) -> Dataset[Batch]:
        return self._fixed(self.splits.test, 2)

    def _fixed(self, levels: Any, stream: int) -> Dataset[Batch]:
        noise = SeededNoise(tuple(levels.shape[1:]), self.seed, stream)
        return DequantisedImages(levels, LEVELS, self.transform, noise, self.alpha)


def convert(levels: Tensor, size: int | None, grey: bool | None) -> Tensor:
    """Levels (N, C, H, W), uint8, converted to grey or colour and to that size; None leaves them as they are.

    Example:
        >>> convert(torch.full((2, 3, 32, 32), 9, dtype=torch.uint8), size=16, grey=True).shape
        torch.Size([2, 1, 16, 16])
    """
    if grey and levels.shape[1] == 3:
        weights = torch.tensor(LUMA, dtype=torch.int32).view(1, 3, 1, 1)
        greys = [((some * weights).sum(1, keepdim=True) + 2**15) // 2**16 for some in levels.split(READ_AT_ONCE)]
        levels = torch.cat(greys).to(torch.uint8)
    if size is not None:
        levels = resized(levels, size)
    if grey is False and levels.shape[1] == 1:
        levels = levels.repeat(1, 3, 1, 1)
    return levels.contiguous()


def open_files(source: Source, size: int | None, grey: bool | None, memory_limit: int, is_published: bool) -> Splits:
    """Image files of each part, read now if all fit in ``memory_limit`` bytes, otherwise when they are served.

    Every header is read; of published files, which are many and alike, only of the first.
    """
    names = [name for part in source.images for name in part]
    found = survey(source.root, names[:1] if is_published else names, must_match=size is None)
    if not is_published:
        say_what_is_read(source, found)
    channels = 1 if grey or (grey is None and found.is_grey) else 3
    shape = [channels, *(found.size if size is None else (size, size))]
    parts = Splits(*(ImageFiles(source.root, part, shape, is_resized=size is not None) for part in source.images))
    if is_published or sum(part.shape.numel() for part in parts) > memory_limit:
        return parts
    return Splits(*(part.read() for part in parts))


def say_what_is_read(source: Source, found: Survey) -> None:
    """Say in one line how many images are in each part and why, what was not read, and what is changed."""
    counts = ", ".join(f"{part} {len(files)}" for part, files in source.images._asdict().items())
    shown = f"; {in_words(found.shown)}" if found.shown else ""
    rank_zero_info(f"{source.root}: images of {counts}, {source.how}{shown}")
    if source.doubts:
        rank_zero_warn(f"{source.root}: {'; '.join(source.doubts)}")


def looked_at(images: Any) -> Tensor:
    """The images that location and scale are taken from: all in memory, otherwise some, evenly spaced."""
    if isinstance(images, Tensor):
        return images
    places = torch.linspace(0, len(images) - 1, min(LOOKED_AT, len(images)))
    levels: Tensor = images[places.long().tolist()]
    return levels
