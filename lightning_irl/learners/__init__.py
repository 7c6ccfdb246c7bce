"""How a sampler descends E_q[c] + T E_q[log q]: Learner and its kinds."""

from lightning_irl.learners.base import Learner
from lightning_irl.learners.ppo import PPO
from lightning_irl.learners.reparameterised import Reparameterised
from lightning_irl.learners.score_function import ScoreFunction
from lightning_irl.learners.soft_riccati import SoftRiccati
from lightning_irl.learners.soft_value_iteration import SoftValueIteration

__all__ = ["PPO", "Learner", "Reparameterised", "ScoreFunction", "SoftRiccati", "SoftValueIteration"]
