"""Environments for policies: batched ones in torch with known answers, and gymnasium's."""

from lightning_irl.environments.base import Environment, Step
from lightning_irl.environments.cartpole import CartPole
from lightning_irl.environments.gymnasium import GymnasiumEnvironment
from lightning_irl.environments.linear_quadratic import LinearQuadratic
from lightning_irl.environments.pendulum import Pendulum
from lightning_irl.environments.point_mass import PointMassMaze
from lightning_irl.environments.tabular import CliffWorld, GridWorld, RandomMDP, TabularMDP

__all__ = [
    "CartPole",
    "CliffWorld",
    "Environment",
    "GridWorld",
    "GymnasiumEnvironment",
    "LinearQuadratic",
    "Pendulum",
    "PointMassMaze",
    "RandomMDP",
    "Step",
    "TabularMDP",
]
