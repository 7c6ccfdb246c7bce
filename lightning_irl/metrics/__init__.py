"""torchmetrics of what the views are judged by."""

from lightning_irl.metrics.bits_per_dim import BitsPerDim
from lightning_irl.metrics.kl_on_grid import KLOnGrid
from lightning_irl.metrics.partition_function import PartitionFunction

__all__ = ["BitsPerDim", "KLOnGrid", "PartitionFunction"]
