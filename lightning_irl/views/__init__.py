"""Views, which train the pair: their losses and rounds, and the paper's three views."""

from lightning_irl.views.chain_likelihood import ChainLikelihood
from lightning_irl.views.discriminators import (
    DensityDiscriminator,
    Discriminator,
    MarginDiscriminator,
    PlainDiscriminator,
)
from lightning_irl.views.ebm import EBM
from lightning_irl.views.f_divergence import FDivergence
from lightning_irl.views.gan import GAN
from lightning_irl.views.guided_cost import GuidedCost
from lightning_irl.views.irl import IRL
from lightning_irl.views.losses import CostLoss, Found, Given, SamplerLoss
from lightning_irl.views.rounds import EachBatch, PooledRounds, Rounds
from lightning_irl.views.sampler_losses import GeneratorLoss, NegativesLikelihood, ReverseKL
from lightning_irl.views.view import View

__all__ = [
    "EBM",
    "GAN",
    "IRL",
    "ChainLikelihood",
    "CostLoss",
    "DensityDiscriminator",
    "Discriminator",
    "EachBatch",
    "FDivergence",
    "Found",
    "GeneratorLoss",
    "Given",
    "GuidedCost",
    "MarginDiscriminator",
    "NegativesLikelihood",
    "PlainDiscriminator",
    "PooledRounds",
    "ReverseKL",
    "Rounds",
    "SamplerLoss",
    "View",
]
