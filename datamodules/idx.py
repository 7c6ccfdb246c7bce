"""Arrays in idx files, the format of MNIST and its relatives."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

UNSIGNED_BYTES = b"\x00\x00\x08"  # how the file of an array of uint8 starts


def read_idx(path: Path, dimensions: int) -> Tensor:
    """An array of unsigned bytes, uint8, from an idx file, gzip or not.

    Args:
        path: of the file; one that ends in ``.gz`` is decompressed.
        dimensions: how many the array has.

    Raises:
        ValueError: if the file is not such an array, is truncated, or cannot be decompressed; the message names it.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}; it is damaged or cut short: fetch it again") from error
    start = 4 + 4 * dimensions
    if content[:4] != UNSIGNED_BYTES + bytes([dimensions]) or len(content) < start:
        raise ValueError(f"{path} is not an idx file of unsigned bytes in {dimensions} dimensions; fetch it again")
    shape = [int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4)]
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{path} holds {len(content) - start} bytes of data, but its header says {shape}, "
            f"which is {math.prod(shape)}; it is cut short or damaged: fetch it again"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())
