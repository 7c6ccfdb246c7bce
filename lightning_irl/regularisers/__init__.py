"""Terms added to the cost's loss: Regulariser and its kinds."""

from lightning_irl.costs.energy import Energy
from lightning_irl.regularisers.base import Regulariser
from lightning_irl.regularisers.cost_offset import CostOffset
from lightning_irl.regularisers.energy_magnitude import EnergyMagnitude
from lightning_irl.regularisers.gradient_penalty import GradientPenalty

__all__ = ["CostOffset", "Energy", "EnergyMagnitude", "GradientPenalty", "Regulariser"]
