"""LightningDataModules: what serves demonstrations, and says once what one sample looks like."""

from lightning_irl.datamodules.array import ArrayDataModule
from lightning_irl.datamodules.digits import DigitsDataModule
from lightning_irl.datamodules.memory import MemoryDataModule
from lightning_irl.datamodules.toy import ToyDataModule

__all__ = ["ArrayDataModule", "DigitsDataModule", "MemoryDataModule", "ToyDataModule"]
