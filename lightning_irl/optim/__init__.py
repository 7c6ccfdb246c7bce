"""Optimizers and learning-rate schedules in addition to torch's."""

from lightning_irl.optim.optimizers import MuonAdam
from lightning_irl.optim.schedules import DecayToZero

__all__ = ["DecayToZero", "MuonAdam"]
