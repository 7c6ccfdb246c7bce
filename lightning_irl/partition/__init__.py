"""Estimators of log Z with their errors, diagnostics and verdicts."""

from lightning_irl.partition.annealed import AnnealedBracket, AnnealedRun, annealed, annealed_bracket, annealed_run
from lightning_irl.partition.bridge import bridge
from lightning_irl.partition.diagnostics import effective_sample_size, log_mean_exp, pareto_k_hat, split_r_hat
from lightning_irl.partition.draws import ModelDraws, continue_chains, draw_model
from lightning_irl.partition.estimate import PartitionEstimate
from lightning_irl.partition.importance import importance
from lightning_irl.partition.quadrature import quadrature
from lightning_irl.partition.report import estimate_all, pool, reconcile
from lightning_irl.partition.training import discriminator, mixture

__all__ = [
    "AnnealedBracket",
    "AnnealedRun",
    "ModelDraws",
    "PartitionEstimate",
    "annealed",
    "annealed_bracket",
    "annealed_run",
    "bridge",
    "continue_chains",
    "discriminator",
    "draw_model",
    "effective_sample_size",
    "estimate_all",
    "importance",
    "log_mean_exp",
    "mixture",
    "pareto_k_hat",
    "pool",
    "quadrature",
    "reconcile",
    "split_r_hat",
]
