"""The EBM view by Markov chains: its gradient, what the chains teach, and how it stops."""

from __future__ import annotations

import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_irl.callbacks.partition import kl_on_grid
from lightning_irl.costs import ConvCost, MLPCost, QuadraticCost, TiltedCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.mcmc import HMC, MALA, Chains, Langevin
from lightning_irl.regularisers import EnergyMagnitude
from lightning_irl.samplers import BroadSampler, FlowSampler, GaussianSampler, GeneratorSampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.views import EBM
from lightning_irl.views.finite import NonFiniteError

EVENT = make_event("point", [2])


def build(cost=QuadraticCost, sampler=BroadSampler, event=EVENT, chains=Chains, **options):
    defaults = {"negative_phase": "mcmc", "sampler_steps": 0}
    return EBM(event, cost, sampler, chains=chains, **(defaults | options))


def trainer(epochs=1, **options):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(accelerator="cpu", max_epochs=epochs, **(quiet | options))


def fit(view, samples, batch=64, epochs=1, **options):
    parts = [Batch(part, torch.zeros(len(part))) for part in samples.split(batch)]
    made = trainer(epochs, **options)
    made.fit(view, DataLoader(parts, batch_size=None))
    return made


def test_the_gradient_is_that_of_the_likelihood():
    # A Gaussian cost, and chains that have long forgotten their start: E_p[grad c] - E_model[grad c] has a closed form.
    torch.manual_seed(0)
    view = build(chains=lambda event: Chains(event, HMC(0.5, leapfrog_steps=4), steps=20, start="noise"))
    demonstrations = torch.randn(20_000, 2) * torch.tensor([0.5, 2.0]) + 1
    loss = view.cost_loss(demonstrations, view.sampler.sample(20_000)[0], None)
    found = torch.autograd.grad(loss, view.cost.parameters())
    exact = view.energy(demonstrations).mean()
    # the model's own moments, by draws of the Gaussian that the cost is
    model = GaussianSampler(EVENT)
    with torch.no_grad():
        model.mean.copy_(view.cost.mean)
    expected = torch.autograd.grad(exact - view.energy(model.sample(200_000)[0]).mean(), view.cost.parameters())
    for mine, theirs in zip(found, expected, strict=True):
        # gradients are means of x and x^2 of unit scale over 20,000 chains: an error of 1 / sqrt(20,000) times a few
        assert (mine - theirs).abs().max() < 5 * math.sqrt(2 / 20_000)


@pytest.mark.long
@pytest.mark.parametrize("kernel", [HMC(0.2), MALA(0.02)], ids=["HMC", "MALA"])
def test_learns_a_density_without_a_sampler_that_learns(kernel):
    torch.manual_seed(0)
    data = ToyDataModule("two_moons", batch_size=256, steps_per_epoch=150)
    chains = partial(Chains, kernel=kernel, steps=5, buffer_size=1024, restart_share=0.02)
    adam = partial(torch.optim.Adam, lr=5e-3)
    view = build(partial(MLPCost, hidden=[32, 32]), BroadSampler, data.event, chains, cost_optimizer=adam)
    before = kl_on_grid(view, data.density)["kl/model"]
    trainer(1).fit(view, data)
    assert kl_on_grid(view, data.density)["kl/model"] < 0.75 * before


@pytest.mark.long
def test_the_chains_can_teach_the_sampler():
    # Data far from where the sampler starts: it goes there only because the chains do.
    torch.manual_seed(0)
    demonstrations = torch.randn(64 * 150, 2) * 0.5 + torch.tensor([2.0, 0.0])
    view = build(
        QuadraticCost,
        GaussianSampler,
        chains=lambda event: Chains(event, HMC(0.2), steps=10, start="sampler"),
        sampler_learns_from="chains",
        sampler_steps=1,
        cost_optimizer=partial(torch.optim.Adam, lr=0.02),
        sampler_optimizer=partial(torch.optim.Adam, lr=0.02),
    )
    fit(view, demonstrations)
    assert (view.sampler.mean - torch.tensor([2.0, 0.0])).norm() < 0.2
    assert any("cooperative" in line for line in view.departures())


def test_a_sampler_without_density_can_start_the_chains():
    view = build(sampler=GeneratorSampler, chains=lambda event: Chains(event, HMC(0.2), steps=2, start="sampler"))
    fit(view, torch.randn(256, 2))
    assert torch.isnan(view.log_z)


@pytest.mark.parametrize("restart_from", ["noise", "sampler"])
def test_a_sampler_that_nothing_needs_is_left_alone_and_logging_does_not_change_training(restart_from):
    # Without draws to start at, the sampler is asked only where log Z is logged; its random numbers are not training's.
    chains = partial(Chains, kernel=HMC(0.2), steps=2, buffer_size=32, restart_share=0.5, restart_from=restart_from)
    ends, asked = [], []
    for every in (2, 5):
        torch.manual_seed(0)
        view = build(MLPCost, GaussianSampler, chains=chains)
        view.sampler.sample = lambda num, sample=view.sampler.sample: asked.append(num) or sample(num)
        torch.manual_seed(1)
        fit(view, torch.randn(640, 2), log_every_n_steps=every)
        ends.append([parameter.detach() for parameter in view.cost.parameters()])
        assert torch.isfinite(view.log_z)
    for one, other in zip(*ends, strict=True):
        assert torch.equal(one, other)
    # 10 batches: the first, and every second or fifth; before them the two samples whose shapes are checked
    assert [num for num in asked if num != 2] == [64] * (20 if restart_from == "sampler" else (1 + 5) + (1 + 2))


def test_a_cost_that_is_not_trained_needs_no_chains():
    chains = partial(Chains, start="demonstrations")
    view = build(MLPCost, GaussianSampler, chains=chains, cost_steps=0, warm_start=2)
    before = [parameter.detach().clone() for parameter in view.cost.parameters()]
    fit(view, torch.randn(256, 2))
    for parameter, old in zip(view.cost.parameters(), before, strict=True):
        assert torch.equal(parameter, old)


def test_regularisers_see_the_ends_of_the_chains():
    # Du and Mordatch's energies are those of the negative samples, not of the sampler's draws.
    seen = []

    class Watch(EnergyMagnitude):
        def penalty(self, energy, demonstrations, samples):
            seen.append(samples)
            return super().penalty(energy, demonstrations, samples)

    view = build(chains=partial(Chains, start="demonstrations"), regularisers=[partial(Watch, weight=0.1)])
    fit(view, torch.randn(64, 2))
    assert torch.equal(seen[0], view.ends)


def test_an_explosion_stops_the_run_with_what_led_there():
    chains = partial(Chains, kernel=Langevin(step_size=5.0), steps=20, start="noise")
    view = build(partial(QuadraticCost), chains=chains)
    with pytest.raises(NonFiniteError) as caught:
        fit(view, torch.randn(640, 2))
    assert "chains was not finite at batch 0" in str(caught.value)
    assert "step size 5, acceptance" in str(caught.value)
    assert "lower the step size" in str(caught.value)


def test_dropout_is_off_in_chains_and_on_in_the_loss():
    event = make_event("image", [1, 4, 4], support="box")
    view = build(
        partial(TiltedCost, cost=partial(ConvCost, widths=[8, 8], dropout=0.5)),
        partial(FlowSampler, transforms=2, hidden=[8]),
        event,
        partial(Chains, steps=1, coordinates="base", start="sampler"),
    )
    modes = []
    view.cost.tilt.blocks[0].dropout.register_forward_hook(lambda module, *_: modes.append(module.training))
    view.train()
    draws, log_q = view.sampler.sample(4)
    view.cost_loss(draws, draws, log_q)
    assert not any(modes[:-1])
    assert modes[-1]
    assert view.known_sampler is view.cost.reference


def test_departures_say_what_it_is():
    view = build(chains=lambda event: Chains(event, Langevin(0.01, noise=0.1), start="demonstrations"))
    words = " ".join(view.departures())
    assert "negative_phase is mcmc, from demonstrations" in words
    assert "temperature 0.01, not from the model" in words


def test_chains_go_on_bitwise_from_a_checkpoint(tmp_path):
    torch.manual_seed(0)
    samples = torch.randn(512, 2)
    make = partial(build, partial(MLPCost, hidden=[8]), chains=partial(Chains, steps=2, buffer_size=128))
    first = make()
    fit(first, samples).save_checkpoint(tmp_path / "half.ckpt")
    second = make()
    loaded = torch.load(tmp_path / "half.ckpt", weights_only=True)
    second.load_state_dict(loaded["state_dict"])
    second.on_load_checkpoint(loaded)
    assert torch.equal(second.chains.kept, first.chains.kept)
    assert torch.equal(second.chains.step_size, first.chains.step_size)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler_learns_from": "data"}, "sampler_learns_from is 'data'"),
        (
            {"sampler_learns_from": "chains", "negative_phase": "importance", "sampler": GaussianSampler},
            "needs negative_phase=mcmc",
        ),
        ({"chains": partial(Chains, coordinates="base")}, "BroadSampler has none"),
        ({"negative_phase": "gibbs"}, "allowed: importance, mixture, uniform, mcmc"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        build(**options)


def test_trajectories_are_refused():
    with pytest.raises(ValueError, match="trajectories"):
        Chains(make_trajectory_event(5, [4], num_actions=2))
