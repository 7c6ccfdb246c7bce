"""An option that another option makes moot is said in one line before training, or refused where the two contradict."""

import warnings
from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from lightning_irl.callbacks import LogPartition
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.learners import ScoreFunction
from lightning_irl.mcmc import Chains
from lightning_irl.partition.methods import DEFAULT_METHODS, left_out
from lightning_irl.samplers import GaussianMixtureSampler, GaussianSampler, GeneratorSampler
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.views import EBM, GAN, IRL, options
from lightning_irl.views.factories import defaults

EVENT = make_event("point", [2])
SGD = partial(torch.optim.SGD, lr=0.1)
GUIDED = {"objective": "guided_cost"}
ALONE = {"cost_steps": 0, "sampler_steps": 0, "warm_start": 2}


def build(kind, **given):
    parts = {"cost": partial(MLPCost, hidden=[4]), "sampler": GaussianSampler}
    return kind(EVENT, **(parts | given))


def lines(view):
    found = list(options.moot(view, {**view.hparams, **view.described}))
    if getattr(view, "chains", None) is not None:
        found += options.moot(view.chains, vars(view.chains), options.CHAINS)
    return found


@pytest.mark.parametrize(
    ("kind", "given", "start"),
    [
        (GAN, {"cost_steps": 0, "cost_optimizer": SGD}, "cost_optimizer has no effect: cost_steps is 0"),
        (GAN, {"cost_steps": 0, "log_z_by": "learned"}, "log_z_by has no effect: cost_steps is 0"),
        (GAN, {"sampler_steps": 0, "sampler_optimizer": SGD}, "sampler_optimizer has no effect: sampler_steps is 0"),
        (
            GAN,
            {"sampler_steps": 0, "likelihood_weight": 0.1, "entropy_weight": 2},
            "entropy_weight and likelihood_weight have no effect: sampler_steps is 0",
        ),
        (GAN, {"sampler_steps": 0, "generator_loss": "saturating"}, "generator_loss has no effect"),
        (GAN, {"warm_start_optimizer": SGD}, "warm_start_optimizer has no effect: warm_start is 0"),
        (GAN, {"discriminator": "plain", "log_z_by": "learned"}, "log_z_by has no effect: this discriminator"),
        (GAN, ALONE | {"temperature": 2.0}, "temperature has no effect: cost_steps and sampler_steps are 0"),
        (IRL, {"cost_steps": 0, "keep_rounds": 2}, "keep_rounds has no effect: cost_steps is 0"),
        (
            EBM,
            {"negative_phase": "mcmc", "chains": partial(Chains, start="noise", buffer_size=8)},
            "buffer_size has no effect: start is not persistent",
        ),
        (
            EBM,
            {"negative_phase": "mcmc", "sampler_learns_from": "chains", "learner": ScoreFunction},
            "learner has no effect: sampler_learns_from is chains",
        ),
    ],
)
def test_a_moot_option_is_one_line(kind, given, start):
    (line,) = lines(build(kind, **given))
    assert line.startswith(start)
    assert len(line.splitlines()) == 1
    assert "remove it" in line


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (GAN, {"temperature": 1, "log_z_by": "learned", "generator_loss": "saturating", "likelihood_weight": 1.0}),
        (GAN, {"sampler_steps": 0, "warm_start": 3, "sampler_optimizer": SGD}),  # the warm start's too
        (IRL, {"objective": "guided_cost", "negative_phase": "mixture", "p_hat": "fitted", "keep_rounds": 2}),
        (EBM, {"negative_phase": "mcmc", "chains": partial(Chains, buffer_size=8), "learner": ScoreFunction}),
    ],
)
def test_an_option_that_has_an_effect_is_not_named(kind, given):
    assert lines(build(kind, **given)) == []


def test_the_rules_name_options_that_there_are():
    known = {name for kind in (GAN, EBM, IRL) for name in defaults(kind)}
    assert {name for rule in options.RULES for name in rule.options} <= known
    assert {name for rule in options.CHAINS for name in rule.options} <= set(defaults(Chains))


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (
            EBM,
            {"negative_phase": "mcmc", "sampler_learns_from": "chains", "cost_steps": 0},
            "chains, but cost_steps is 0",
        ),
        (
            IRL,
            {"sampler": GeneratorSampler, "discriminator": "plain", "objective": "guided_cost"},
            "has no density; negative_phase=importance",
        ),
        (IRL, {"negative_phase": "mixture"}, "negative_phase='mixture' does nothing here: objective is discriminator"),
        (IRL, {"p_hat": "fitted"}, "p_hat='fitted' does nothing here: objective is discriminator"),
        (IRL, GUIDED | {"p_hat": GaussianMixtureSampler}, "p_hat=GaussianMixtureSampler does nothing here: only"),
        (IRL, GUIDED | {"log_z_by": "learned"}, "log_z_by='learned' does nothing here: objective is guided_cost"),
        (IRL, GUIDED | {"discriminator": "plain"}, "discriminator='plain' does nothing here: objective is guided_cost"),
        (
            IRL,
            GUIDED | {"discriminator": "margin", "margin": 1.0},
            "discriminator='margin', margin=1.0 do nothing here: objective is guided_cost",
        ),
        (IRL, GUIDED | {"generator_loss": "saturating"}, "generator_loss='saturating' does nothing here"),
        (EBM, {"p_hat": "fitted"}, "p_hat='fitted' does nothing here: only negative_phase=mixture"),
        (EBM, {"negative_phase": "mcmc", "p_hat": "fitted"}, "p_hat='fitted' does nothing here"),
        (EBM, {"chains": partial(Chains, steps=3)}, r"chains=partial\(Chains, steps=3\) does nothing here"),
        (
            IRL,
            {"sampler": GeneratorSampler, "discriminator": "plain", "keep_rounds": 2},
            "keep_rounds is 2, but sampler GeneratorSampler has no density",
        ),
    ],
)
def test_a_contradiction_is_refused(kind, given, words):
    with pytest.raises(ValueError, match=words):
        build(kind, **given)


def test_a_fit_says_it_once_with_what_its_reports_leave_out(tmp_path):
    served = ToyDataModule(train_size=64, val_size=8, test_size=8, batch_size=8, steps_per_epoch=2)
    view = GAN(served.event, partial(MLPCost, hidden=[4]), GaussianSampler, warm_start=2, num_samples=8)
    report = LogPartition(num_samples=16, methods=["importance", "bridge"])
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[report],
    )
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        trainer.fit(view, served)
    said = [str(one.message) for one in found]
    assert sum("the run ends within its warm start of 2 batches" in line for line in said) == 1
    assert sum("bridge is left out" in line and "add annealed" in line for line in said) == 1
    assert [estimate.method for estimate in report.estimates] == ["importance"]


def test_what_of_a_choice_of_methods_is_left_out():
    assert not list(left_out(["annealed", "bridge", "importance", "quadrature"], EVENT))
    assert len(list(left_out(["annealed_reverse", "bridge"], EVENT))) == 2
    episodes = make_trajectory_event(5, [2], num_actions=2)
    assert list(left_out(DEFAULT_METHODS, episodes)) == []
    (line,) = left_out(["annealed", "importance"], episodes)
    assert line == "annealed is left out, since it does not apply to trajectories"
    (line,) = left_out(["quadrature"], make_event("point", [3]))
    assert "more than two coordinates" in line


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"methods": ["importence"]}, r"importence'\]; did you mean importance"),
        ({"methods": "importance"}, "give a list of names"),
        ({"num_samples": 0}, "num_samples is 0; it must be at least 1"),
        ({"num_chains": 0}, "num_chains is 0"),
        ({"repetitions": 0}, "repetitions is 0"),
        ({"broad_width": 0.0}, "broad_width is 0"),
    ],
)
def test_a_report_that_cannot_be_made_is_refused_when_it_is_asked_for(given, words):
    with pytest.raises(ValueError, match=words):
        LogPartition(**given)
