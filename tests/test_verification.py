"""The three facts hold on real parts, and each kind of mistake is caught."""

from functools import partial

import pytest
import torch

from lightning_irl import objectives
from lightning_irl.command.cli import main
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.learners import ScoreFunction
from lightning_irl.samplers import (
    AutoregressiveSampler,
    BroadSampler,
    FlowSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    GeneratorSampler,
)
from lightning_irl.spaces.event import make_event
from lightning_irl.spaces.lattice import Lattice
from lightning_irl.verification import TOLERANCE, verify
from lightning_irl.views import EBM, GAN

DATA = ToyDataModule(train_size=256, val_size=8, test_size=8, batch_size=64)
DEMONSTRATIONS = DATA.splits.train[:60]


@pytest.mark.parametrize("sampler", [GaussianSampler, GaussianMixtureSampler, FlowSampler])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_facts_hold(sampler, temperature):
    result = verify(GAN(DATA.event, MLPCost, sampler, temperature=temperature), DEMONSTRATIONS)
    assert result.exit_code == 0
    assert max(result.log_z_optimum, result.gradient, result.generator_loss) <= TOLERANCE
    assert result.trained_gradient <= TOLERANCE
    assert result.trained_sampler_gradient <= TOLERANCE
    assert not result.departures


def test_both_forms_of_the_papers_cost_are_the_papers_and_uniform_weights_are_not():
    def distance(**options):
        torch.manual_seed(0)
        return verify(EBM(DATA.event, MLPCost, FlowSampler, **options), DEMONSTRATIONS).trained_gradient

    assert distance(negative_phase="mixture") <= TOLERANCE
    assert distance(negative_phase="uniform") > 1e-3
    assert distance(negative_phase="importance") <= TOLERANCE


def test_an_entropy_weight_shows_in_the_trained_sampler_gradient():
    result = verify(EBM(DATA.event, MLPCost, FlowSampler, entropy_weight=0.5), DEMONSTRATIONS)
    assert result.exit_code == 0
    assert len(result.departures) == 1
    assert "entropy_weight is 0.5" in result.departures[0]
    assert result.trained_sampler_gradient > 1e-3


@pytest.mark.parametrize("view", [GAN, EBM])
@pytest.mark.parametrize("likelihood", ["categorical", "logistics"])
def test_facts_hold_on_discrete_pixels(view, likelihood):
    """Sampler gradients by the score function; a sharper cost than the start's, so that no gradient is near zero by
    itself.
    """
    event = make_event("image", [2, 3, 3], support="box", base_measure="counting", levels=4, scale=[0.2])
    sampler = partial(AutoregressiveSampler, features=6, blocks=2, likelihood=likelihood)
    demonstrations = BroadSampler(event).sample(60)[0] ** 2
    lattice = Lattice(event)
    demonstrations = lattice.to_samples(lattice.to_levels(demonstrations)[0], torch.float32)
    result = verify(view(event, MLPCost, sampler, learner=ScoreFunction), demonstrations)
    assert result.exit_code == 0
    assert result.trained_gradient <= TOLERANCE
    assert result.trained_sampler_gradient <= TOLERANCE
    assert not result.departures


def wrong_sign(cost, log_q, log_z):
    return -cost - log_z + log_q


def missing_half(log_p_hat, log_q):
    return torch.logaddexp(log_p_hat, log_q)


def undetached(demo_cost, sample_cost, demo_log_mu, sample_log_mu):
    demo = objectives.log_mean_exp(-demo_cost - demo_log_mu)
    sample = objectives.log_mean_exp(-sample_cost - sample_log_mu)
    return torch.logaddexp(demo, sample) - objectives.LOG_2


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "mistake", "caught_by"),
    [
        ("discriminator_logits", wrong_sign, "gradient"),
        ("mixture_log_density", missing_half, "log_z_optimum"),
        ("mixture_log_z", undetached, "gradient"),
    ],
)
def test_mistakes_are_caught(monkeypatch, name, mistake, caught_by):
    monkeypatch.setattr(objectives, name, mistake)
    result = verify(GAN(DATA.event, MLPCost, FlowSampler), DEMONSTRATIONS)
    assert result.exit_code == 1
    assert getattr(result, caught_by) > TOLERANCE
    assert main(["verify", "--config", "gan/two_moons", "--threads=1", "--data.batch_size=32"]) == 1


def test_without_a_density_there_is_nothing_to_judge():
    result = verify(GAN(DATA.event, MLPCost, GeneratorSampler, discriminator="plain"), DEMONSTRATIONS)
    assert result.exit_code == 2
    assert result.gradient is None
    assert "GeneratorSampler" in result.reason
