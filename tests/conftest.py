import struct

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread_one_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def idx_images(tmp_path_factory):
    """A folder with 200 grey images of 28 x 28 for training and ten for tests, in the format of MNIST."""
    root = tmp_path_factory.mktemp("idx")
    for part, number in (("train", 200), ("t10k", 10)):
        pixels, labels = torch.randint(256, (number, 28, 28)), torch.arange(number) % 10
        for name, array, magic in ((f"{part}-images-idx3", pixels, 2051), (f"{part}-labels-idx1", labels, 2049)):
            head = struct.pack(f">{1 + array.dim()}i", magic, *array.shape)
            (root / f"{name}-ubyte").write_bytes(head + array.to(torch.uint8).numpy().tobytes())
    return root
