"""Metrics of views (as torchmetrics) and of sets of images."""

from lightning_irl.metrics.bits_per_dim import BitsPerDim
from lightning_irl.metrics.features import FeatureNetwork, load_features, save_features, train_features
from lightning_irl.metrics.kl_on_grid import KLOnGrid
from lightning_irl.metrics.partition_function import PartitionFunction
from lightning_irl.metrics.quality import ImageJudge

__all__ = [
    "BitsPerDim",
    "FeatureNetwork",
    "ImageJudge",
    "KLOnGrid",
    "PartitionFunction",
    "load_features",
    "save_features",
    "train_features",
]
