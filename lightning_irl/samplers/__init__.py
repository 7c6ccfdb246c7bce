"""q: Sampler and its kinds."""

from lightning_irl.samplers.autoregressive import AutoregressiveSampler
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.samplers.conv_generator import ConvGenerator
from lightning_irl.samplers.defensive import DefensiveSampler
from lightning_irl.samplers.flow import FlowSampler
from lightning_irl.samplers.gaussian import GaussianSampler
from lightning_irl.samplers.generator import GeneratorSampler
from lightning_irl.samplers.mixture import GaussianMixtureSampler
from lightning_irl.samplers.multiscale import MultiscaleFlow
from lightning_irl.samplers.policy import PolicySampler, Rollout, as_policy_sampler
from lightning_irl.samplers.transport import Transport

__all__ = [
    "AutoregressiveSampler",
    "BroadSampler",
    "ConvGenerator",
    "DefensiveSampler",
    "FlowSampler",
    "GaussianMixtureSampler",
    "GaussianSampler",
    "GeneratorSampler",
    "MultiscaleFlow",
    "PolicySampler",
    "Rollout",
    "Sampler",
    "Transport",
    "as_policy_sampler",
]
