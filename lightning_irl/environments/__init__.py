"""What a policy acts in: batched torch environments with known answers, and gymnasium's."""

from lightning_irl.environments.base import Environment, Step

__all__ = ["Environment", "Step"]
