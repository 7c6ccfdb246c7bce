"""Callbacks that report on a run (log Z, imitation, samples, quality and others), and the W&B logger."""

from lightning_irl.callbacks.averaging import WeightAverage
from lightning_irl.callbacks.equivalence import LogEquivalence
from lightning_irl.callbacks.imitation import LogImitation
from lightning_irl.callbacks.out_of_distribution import LogOutOfDistribution
from lightning_irl.callbacks.partition import LogPartition
from lightning_irl.callbacks.quality import LogQuality
from lightning_irl.callbacks.report import Report
from lightning_irl.callbacks.samples import LogSamples
from lightning_irl.callbacks.summary import Summary
from lightning_irl.callbacks.termination import Termination
from lightning_irl.callbacks.video import LogVideo
from lightning_irl.callbacks.wandb import WandbLogger

__all__ = [
    "LogEquivalence",
    "LogImitation",
    "LogOutOfDistribution",
    "LogPartition",
    "LogQuality",
    "LogSamples",
    "LogVideo",
    "Report",
    "Summary",
    "Termination",
    "WandbLogger",
    "WeightAverage",
]
