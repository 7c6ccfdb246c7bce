"""Evaluation of held-out demonstrations, and scores of given samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from lightning_irl.pair import Pair
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.samples import Samples, count

STAGES, EVALUATED = ("val", "test"), ("cost", "log_det", "nll_sampler")


def make_means() -> nn.ModuleDict:
    """Means over held-out demonstrations, exact over processes with any number of samples each.

    Lightning's own mean rounds those numbers.
    """
    return nn.ModuleDict(
        {f"{stage}_{name}": MeanMetric(nan_strategy="disable") for stage in STAGES for name in EVALUATED}
    )


def held_out(pair: Pair, batch: Batch, scores_demonstrations: bool) -> dict[str, Tensor]:
    """The quantities averaged over held-out demonstrations, each (B,), in nats: c/T, the log-determinant, and -log q
    if there is a density.
    """
    found = {"cost": pair.energy(batch.samples), "log_det": batch.log_det}
    if scores_demonstrations:
        found["nll_sampler"] = -pair.sampler.log_prob(batch.samples)
    return found


@torch.no_grad()
def score(pair: Pair, samples: Samples, log_z: Tensor, scores_demonstrations: bool) -> dict[str, Samples]:
    """Samples with their c/T (B,); with a density also log q (B,), and with a model the discriminator's logit.

    The logit is of whole samples (B,), or of each trajectory's segments (B, K) if the pair is at their level.
    """
    scores: dict[str, Samples] = {"samples": samples, "cost": pair.energy(samples)}
    if scores_demonstrations:
        scores["log_q"] = pair.sampler.log_prob(samples)
    if pair.has_model and scores_demonstrations:
        logits = pair.ratio(pair.at_level(samples), log_z)
        scores["logit"] = logits if pair.segment_length is None else logits.view(count(samples), -1)
    return scores
