"""LightningDataModules: they serve demonstrations, and describe once what one sample looks like."""

from lightning_irl.datamodules.array import ArrayDataModule
from lightning_irl.datamodules.base import DemonstrationsDataModule
from lightning_irl.datamodules.demonstrations import Demonstrations
from lightning_irl.datamodules.digits import DigitsDataModule
from lightning_irl.datamodules.hdf5 import read_hdf5
from lightning_irl.datamodules.images import ImageDataModule
from lightning_irl.datamodules.memory import MemoryDataModule
from lightning_irl.datamodules.minari import read_minari
from lightning_irl.datamodules.npz import read_npz, write_npz
from lightning_irl.datamodules.tables import read_huggingface
from lightning_irl.datamodules.toy import ToyDataModule
from lightning_irl.datamodules.trajectories import TrajectoryDataModule
from lightning_irl.spaces.served import Splits

__all__ = [
    "ArrayDataModule",
    "Demonstrations",
    "DemonstrationsDataModule",
    "DigitsDataModule",
    "ImageDataModule",
    "MemoryDataModule",
    "Splits",
    "ToyDataModule",
    "TrajectoryDataModule",
    "read_hdf5",
    "read_huggingface",
    "read_minari",
    "read_npz",
    "write_npz",
]
