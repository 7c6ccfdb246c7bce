"""Policies: pi(a | s, t) with an exact density in the event's base measure."""

from lightning_irl.policies.base import Policy
from lightning_irl.policies.categorical import CategoricalPolicy
from lightning_irl.policies.gaussian import ClippedGaussianPolicy, GaussianPolicy, TanhGaussianPolicy
from lightning_irl.policies.linear_gaussian import TimeVaryingLinearGaussianPolicy
from lightning_irl.policies.network import NetworkPolicy
from lightning_irl.policies.tabular import TabularPolicy
from lightning_irl.policies.uniform import UniformPolicy

__all__ = [
    "CategoricalPolicy",
    "ClippedGaussianPolicy",
    "GaussianPolicy",
    "NetworkPolicy",
    "Policy",
    "TabularPolicy",
    "TanhGaussianPolicy",
    "TimeVaryingLinearGaussianPolicy",
    "UniformPolicy",
]
