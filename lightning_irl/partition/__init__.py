"""Estimators of log Z with their errors, diagnostics and verdicts."""

from lightning_irl.partition.annealed import AnnealedRun, annealed, annealed_run
from lightning_irl.partition.bracket import AnnealedBracket, annealed_bracket
from lightning_irl.partition.bridge import bridge
from lightning_irl.partition.budget import Budget
from lightning_irl.partition.diagnostics import effective_sample_size, log_mean_with_error, pareto_k_hat, split_r_hat
from lightning_irl.partition.draws import ModelDraws, continue_chains, draw_model
from lightning_irl.partition.estimate import PartitionEstimate
from lightning_irl.partition.estimator import Estimator
from lightning_irl.partition.importance import importance
from lightning_irl.partition.problem import Problem
from lightning_irl.partition.quadrature import quadrature
from lightning_irl.partition.report import estimate_all, estimate_within
from lightning_irl.partition.training import discriminator, mixture
from lightning_irl.partition.verdicts import pool, reconcile

log_mean_exp = log_mean_with_error  # its earlier name; objectives.log_mean_exp is the tensor alone

__all__ = [
    "AnnealedBracket",
    "AnnealedRun",
    "Budget",
    "Estimator",
    "ModelDraws",
    "PartitionEstimate",
    "Problem",
    "annealed",
    "annealed_bracket",
    "annealed_run",
    "bridge",
    "continue_chains",
    "discriminator",
    "draw_model",
    "effective_sample_size",
    "estimate_all",
    "estimate_within",
    "importance",
    "log_mean_exp",
    "log_mean_with_error",
    "mixture",
    "pareto_k_hat",
    "pool",
    "quadrature",
    "reconcile",
    "split_r_hat",
]
