"""c: Cost and its kinds."""

from lightning_irl.costs.autoencoder import AutoencoderCost
from lightning_irl.costs.base import Cost
from lightning_irl.costs.conv import ConvCost
from lightning_irl.costs.energy import Energy, as_energy
from lightning_irl.costs.ensemble import EnsembleStepCost
from lightning_irl.costs.linear_step import LinearStepCost
from lightning_irl.costs.mlp import MLPCost
from lightning_irl.costs.mlp_step import MLPStepCost
from lightning_irl.costs.quadratic import QuadraticCost
from lightning_irl.costs.quadratic_step import QuadraticStepCost
from lightning_irl.costs.shaped import ShapedStepCost
from lightning_irl.costs.step import StepCost, TrajectoryCost
from lightning_irl.costs.tabular_step import TabularStepCost
from lightning_irl.costs.tilted import TiltedCost
from lightning_irl.costs.true_reward import TrueRewardCost

__all__ = [
    "AutoencoderCost",
    "ConvCost",
    "Cost",
    "Energy",
    "EnsembleStepCost",
    "LinearStepCost",
    "MLPCost",
    "MLPStepCost",
    "QuadraticCost",
    "QuadraticStepCost",
    "ShapedStepCost",
    "StepCost",
    "TabularStepCost",
    "TiltedCost",
    "TrajectoryCost",
    "TrueRewardCost",
    "as_energy",
]
