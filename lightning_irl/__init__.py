"""One cost and one sampler, trained as a GAN, as an energy-based model or by inverse RL."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lightning-irl")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"
