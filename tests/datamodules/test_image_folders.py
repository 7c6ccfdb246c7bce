"""A folder of one's own images: what is served is what a person sees, and one line says what was
read and what was not.
"""

import logging
import shutil
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_irl.datamodules import ImageDataModule

RNG = np.random.default_rng(0)
SHAPE = (6, 4)


def write(folder, number, start=0, ending="png", **options):
    """Grey images of one level each, from ``start``."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(start, start + number):
        Image.fromarray(np.full(SHAPE, index, np.uint8)).save(folder / f"{index:03d}.{ending}", **options)
    return folder


def levels(part):
    return set(part.flatten().tolist())


@pytest.fixture
def said(caplog):
    """The one line of a folder."""
    caplog.set_level(logging.INFO)

    def line():
        lines = [record.getMessage() for record in caplog.records if "images of train" in record.getMessage()]
        assert len(lines) == 1
        assert "\n" not in lines[0]
        return lines[0]

    return line


def read(root, **options):
    return ImageDataModule("folder", str(root), **({"batch_size": 1} | options))


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "valid", "test"),
        ("Train", "Validation", "Test"),
        ("TRAINING", "dev", "testing"),
        ("training", "VAL", "Test"),
    ],
)
def test_parts_by_any_usual_name(tmp_path, said, train, val, test):
    for place, name in enumerate((train, val, test)):
        write(tmp_path / name / "class", 5, start=10 * place)
    parts = read(tmp_path).splits
    assert [levels(part) for part in parts] == [set(range(start, start + 5)) for start in (0, 10, 20)]
    assert said().endswith(f"images of train 5, val 5, test 5, as the folders {train}, {val}, {test} say")


def test_a_part_that_is_missing_is_taken_from_training(tmp_path, said):
    write(tmp_path / "Train", 20)
    write(tmp_path / "Test", 5, start=30)
    assert [len(part) for part in read(tmp_path).splits] == [18, 2, 5]
    assert "train 18, val 2, test 5, as the folders Train, Test say, val a part of Train" in said()


def test_two_folders_of_one_part_are_refused(tmp_path):
    for name in ("train", "val", "valid"):
        write(tmp_path / name, 3)
    with pytest.raises(ValueError, match="the folders val and valid, both of which are val; rename or join them"):
        read(tmp_path)


@pytest.mark.parametrize(("present", "lacking"), [(("test", "cats"), "train"), (("train", "cats"), "val or test")])
def test_a_part_alone_is_pooled_and_that_is_said(tmp_path, present, lacking):
    for place, name in enumerate(present):
        write(tmp_path / name, 10, start=10 * place)
    with pytest.warns(UserWarning, match=f"images of {present[0]} are pooled .* since there is no folder {lacking}"):
        parts = read(tmp_path).splits
    assert set.union(*map(levels, parts)) == set(range(20))


def test_images_beside_the_parts_and_beyond_the_sizes_are_counted(tmp_path, said):
    for place, name in enumerate(("train", "val", "test")):
        write(tmp_path / name, 5, start=10 * place)
    write(tmp_path / "extra", 2, start=40)
    write(tmp_path, 1, start=50)
    assert [len(part) for part in read(tmp_path, train_size=4).splits] == [4, 5, 5]
    assert "not read: 3 outside the folders of the parts, 1 beyond the sizes asked for" in said()


# ---- links


def test_linked_folders_are_read_once_and_broken_links_counted(tmp_path, said):
    root = write(tmp_path / "root", 10)
    more = write(tmp_path / "more", 10, start=10)
    for name in ("a", "b"):
        (root / name).symlink_to(more)
    (root / "circle").symlink_to(root)
    (more / "circle").symlink_to(tmp_path)
    (root / "broken.png").symlink_to(root / "nowhere.png")
    (root / ".hidden.png").write_bytes(b"")
    (root / "notes.txt").write_text("")
    (root / "README").write_text("")
    (root / "moves.GIF").write_bytes(b"GIF89a")
    data = read(root)
    assert set.union(*map(levels, data.splits)) == set(range(20))
    assert sum(map(len, data.splits)) == 20
    line = said()
    for words in (
        "linked folder that was read already",
        "1 broken link",
        "1 hidden",
        "1 .txt",
        "1 .gif",
        "1 without an ending",
    ):
        assert words in line


def test_a_linked_part_and_a_linked_image(tmp_path):
    write(tmp_path / "elsewhere", 5, start=10)
    root = tmp_path / "root"
    write(root / "train", 5)
    (root / "test").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "single", 1, start=77)
    (root / "train" / "linked.png").symlink_to(tmp_path / "single" / "077.png")
    parts = read(root, val_size=1).splits
    assert levels(parts.test) == set(range(10, 15))
    assert levels(parts.train) | levels(parts.val) == {0, 1, 2, 3, 4, 77}


def test_names_that_are_there_keep_them_where_a_link_leads_to_them(tmp_path):
    write(tmp_path / "z", 10)
    plain = read(tmp_path).splits
    (tmp_path / "a").symlink_to(tmp_path / "z")
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(read(tmp_path).splits, plain, strict=True))


# ---- what a person sees


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("ending", "options"), [("png", {}), ("jpg", {"quality": 100})])
def test_images_are_turned_as_exif_says(tmp_path, said, orientation, ending, options):
    """A bright quarter: where it is seen, of the eight orientations of the standard."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((16, 24), np.uint8)
    pixels[:8, :8] = 240
    for number in range(4):
        Image.fromarray(pixels).save(tmp_path / f"{number}.{ending}", exif=exif, **options)
    image = read(tmp_path).splits.train[0, 0].numpy()
    assert image.shape == ((16, 24) if orientation <= 4 else (24, 16))
    top, left = {1: (1, 1), 2: (1, 0), 3: (0, 0), 4: (0, 1), 5: (1, 1), 6: (1, 0), 7: (0, 0), 8: (0, 1)}[orientation]
    corner = image[0 if top else -1, 0 if left else -1]
    assert corner > 200
    assert (image > 120).sum() == 64
    assert ("turned as EXIF says" in said()) == (orientation != 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
@pytest.mark.parametrize("grey", [None, True])
def test_transparency_is_seen_on_white(tmp_path, said, mode, grey):
    """Upper half opaque and dark, lower half transparent, whatever its colour."""
    for number in range(4):
        image = Image.new("RGBA", SHAPE[::-1], (40, 40, 40, 255))
        image.paste((200, 10, 90, 0), (0, 3, 4, 6))
        if mode in ("P", "L"):
            grey_image = Image.fromarray(np.repeat([[40], [90]], 3, 0).repeat(4, 1).astype(np.uint8))
            image = grey_image.convert("P") if mode == "P" else grey_image
            image.save(tmp_path / f"{number}.png", transparency=90)
        else:
            image.convert(mode).save(tmp_path / f"{number}.png")
    image = read(tmp_path, grey=grey).splits.train[0]
    assert set(image[:, :3].flatten().tolist()) == {40}
    assert set(image[:, 3:].flatten().tolist()) == {255}
    assert "4 with transparency shown on white" in said()


def test_opaque_alpha_changes_nothing(tmp_path):
    pixels = RNG.integers(0, 256, (4, *SHAPE, 3), dtype=np.uint8)
    opaque = np.concatenate([pixels, np.full((4, *SHAPE, 1), 255, np.uint8)], 3)
    for name, images in (("plain", pixels), ("alpha", opaque)):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{number}.png")
    plain, alpha = (read(tmp_path / name).splits for name in ("plain", "alpha"))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(plain, alpha, strict=True))


def test_half_transparent_colours_are_mixed_with_white(tmp_path):
    for number in range(4):
        Image.new("RGBA", SHAPE[::-1], (0, 100, 255, 51)).save(tmp_path / f"{number}.png")
    assert read(tmp_path).splits.train[0, :, 0, 0].tolist() == [204, 224, 255]


def sixteen_bits(pixels):
    """A PNG of 16 bits a channel, which PIL does not write."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["png", "ppm"])
def test_colours_of_sixteen_bits_are_said_to_be_read_in_eight(tmp_path, said, kind):
    pixels = np.full((*SHAPE, 3), 0x8123, np.uint16)
    pixels[0] = 0xFFFF
    content = sixteen_bits(pixels) if kind == "png" else b"P6 4 6 65535\n" + pixels.astype(">u2").tobytes()
    for number in range(4):
        (tmp_path / f"{number}.{kind}").write_bytes(content)
    assert levels(read(tmp_path).splits.train) == {0x81, 0xFF}
    assert "4 of 16 bits a channel read in 8" in said()


def test_further_pages_are_said_to_be_left_out(tmp_path, said):
    rows = np.arange(SHAPE[0], dtype=np.uint8)[:, None].repeat(SHAPE[1], 1)
    pages = [Image.fromarray(rows + start) for start in (10, 50, 90)]
    for number in range(4):
        pages[0].save(tmp_path / f"{number}.tif", save_all=True, append_images=pages[1:])
    assert levels(read(tmp_path).splits.train) == set(range(10, 16))
    assert "4 of which the first page alone is read" in said()


@pytest.mark.parametrize("mode", ["CMYK", "P", "1", "YCbCr"])
def test_other_modes_are_seen_in_their_colours(tmp_path, said, mode):
    endings = {"CMYK": "tif", "YCbCr": "jpg"}
    for number in range(4):
        image = Image.new("RGB", (16, 16), (255, 255, 255))
        image.paste((0, 0, 0), (0, 0, 8, 16))
        image.convert(mode).save(tmp_path / f"{number}.{endings.get(mode, 'png')}")
    assert levels(read(tmp_path).splits.train) == {0, 255}
    assert said().endswith("by a fixed shuffle")


# ---- doubts


def test_an_image_that_is_trained_on_and_held_out_is_named(tmp_path):
    for name in ("train", "val", "test"):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = RNG.integers(0, 256, SHAPE, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(tmp_path)
    shutil.copy(tmp_path / "train" / "1.png", tmp_path / "test" / "copy.png")
    with pytest.warns(
        UserWarning, match=r"1 held-out images are among .* such as test/copy\.png, which is train/1\.png"
    ):
        read(tmp_path)


def test_names_that_differ_in_their_ending_alone_are_named(tmp_path):
    write(tmp_path, 10)
    write(tmp_path, 1, start=3, ending="bmp")
    with pytest.warns(UserWarning, match=r"1 names differ in their ending alone, such as 003\.\w+ and 003\."):
        read(tmp_path)


def test_no_images_says_what_is_there(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(FileNotFoundError, match=r"no images \(png, .*\) in .* or folders in it \(it holds 1 \.gif\)"):
        read(tmp_path)
