"""c: Cost and its kinds."""

from lightning_irl.costs.base import Cost
from lightning_irl.costs.conv import ConvCost
from lightning_irl.costs.mlp import MLPCost
from lightning_irl.costs.mlp_step import MLPStepCost
from lightning_irl.costs.quadratic import QuadraticCost
from lightning_irl.costs.step import StepCost, TrajectoryCost
from lightning_irl.costs.tilted import TiltedCost
from lightning_irl.costs.true_reward import TrueRewardCost

__all__ = [
    "ConvCost",
    "Cost",
    "MLPCost",
    "MLPStepCost",
    "QuadraticCost",
    "StepCost",
    "TiltedCost",
    "TrajectoryCost",
    "TrueRewardCost",
]
