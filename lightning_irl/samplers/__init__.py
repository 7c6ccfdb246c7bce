"""q: Sampler and its kinds."""

from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.samplers.conv_generator import ConvGenerator
from lightning_irl.samplers.defensive import DefensiveSampler
from lightning_irl.samplers.flow import FlowSampler
from lightning_irl.samplers.gaussian import GaussianSampler
from lightning_irl.samplers.generator import GeneratorSampler
from lightning_irl.samplers.mixture import GaussianMixtureSampler
from lightning_irl.samplers.policy import PolicySampler, Rollout

__all__ = [
    "BroadSampler",
    "ConvGenerator",
    "DefensiveSampler",
    "FlowSampler",
    "GaussianMixtureSampler",
    "GaussianSampler",
    "GeneratorSampler",
    "PolicySampler",
    "Rollout",
    "Sampler",
]
