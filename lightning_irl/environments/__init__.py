"""What a policy acts in: batched torch environments with known answers, and gymnasium's."""

from lightning_irl.environments.base import Environment, Step
from lightning_irl.environments.cartpole import CartPole
from lightning_irl.environments.pendulum import Pendulum

__all__ = ["CartPole", "Environment", "Pendulum", "Step"]
