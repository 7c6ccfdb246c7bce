"""Markov chain Monte Carlo on any cost, on any event shape."""

from lightning_irl.mcmc.chains import Chains
from lightning_irl.mcmc.hmc import HMC
from lightning_irl.mcmc.kernel import ChainState, Kernel, MoveInfo
from lightning_irl.mcmc.langevin import MALA, Langevin
from lightning_irl.mcmc.model_samples import ModelSamples, sample_model
from lightning_irl.mcmc.target import BaseTarget, SampleTarget, Target

__all__ = [
    "HMC",
    "MALA",
    "BaseTarget",
    "ChainState",
    "Chains",
    "Kernel",
    "Langevin",
    "ModelSamples",
    "MoveInfo",
    "SampleTarget",
    "Target",
    "sample_model",
]
