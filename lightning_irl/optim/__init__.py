"""Optimizers and learning-rate schedules beside those of torch."""

from lightning_irl.optim.optimizers import MuonAdam
from lightning_irl.optim.schedules import DecayToZero

__all__ = ["DecayToZero", "MuonAdam"]
