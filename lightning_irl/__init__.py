"""One cost and one sampler, trained as a GAN, as an energy-based model or by inverse RL."""

import sys
from importlib.metadata import PackageNotFoundError, version

from lightning_irl._moved import MovedFinder

try:
    __version__ = version("lightning-irl")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

sys.meta_path.append(MovedFinder())  # after every other: it is asked for what is not there
