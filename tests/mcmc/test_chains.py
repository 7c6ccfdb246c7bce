"""Chains start where told, stay at the model, adapt, survive a checkpoint, and name the cause when they diverge."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lightning_irl.costs import Cost, MLPCost, TiltedCost
from lightning_irl.mcmc import HMC, MALA, BaseTarget, Chains, Langevin, SampleTarget
from lightning_irl.samplers import BroadSampler, FlowSampler, GaussianSampler
from lightning_irl.spaces.event import make_event, make_trajectory_event

EVENT = make_event("point", [3])
BOX = make_event("image", [1, 2, 2], support="box")


class Pull(Cost):
    """A cost that pulls towards one place."""

    def __init__(self, event, place=0.0):
        super().__init__(event)
        self.place = nn.Parameter(torch.tensor(place))

    def forward(self, samples):
        return (samples - self.place).flatten(1).square().sum(-1) / 2


def test_where_runs_start():
    # With a step of 1e-6 chains end where they start.
    kernel = Langevin(step_size=1e-12)
    demonstrations, draws = torch.full((5, 3), 2.0), torch.full((8, 3), -2.0)
    ends = {
        start: Chains(EVENT, kernel, steps=1, start=start)(Pull(EVENT), BroadSampler(EVENT), demonstrations, draws)
        for start in ("demonstrations", "sampler", "noise")
    }
    torch.testing.assert_close(ends["demonstrations"], torch.full((8, 3), 2.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(ends["sampler"], draws, atol=1e-4, rtol=0)
    assert ends["noise"].std() > 0.5


def test_demonstrations_are_started_from_without_repeats():
    demonstrations = torch.arange(8.0).view(8, 1).expand(8, 3)
    chains = Chains(EVENT, Langevin(1e-12), steps=1, start="demonstrations")
    ends = chains(Pull(EVENT), BroadSampler(EVENT), demonstrations, torch.zeros(8, 3))
    torch.testing.assert_close(ends[:, 0].sort().values, torch.arange(8.0), atol=1e-4, rtol=0)


def test_persistent_chains_fill_their_buffer_and_go_on_from_it():
    chains = Chains(EVENT, Langevin(1e-12), steps=1, buffer_size=16, restart_share=0.0)
    cost, sampler = Pull(EVENT), BroadSampler(EVENT)
    for value in (1.0, 2.0):
        chains(cost, sampler, torch.zeros(4, 3), torch.full((8, 3), value))
    assert sorted(chains.kept[:, 0].round().tolist()) == [1.0] * 8 + [2.0] * 8
    chains(cost, sampler, torch.zeros(4, 3), torch.full((8, 3), 9.0))
    assert sorted(chains.kept[:, 0].round().tolist()) == [1.0] * 8 + [2.0] * 8  # no draw came in


def test_a_share_restarts():
    # Of 40 runs of 32 chains a quarter restart: a count with a binomial's error.
    chains = Chains(EVENT, Langevin(1e-12), steps=1, buffer_size=32, restart_share=0.25)
    cost, sampler, restarts = Pull(EVENT), BroadSampler(EVENT), 0
    chains(cost, sampler, torch.zeros(4, 3), torch.zeros(32, 3))
    for index in range(1, 41):
        ends = chains(cost, sampler, torch.zeros(4, 3), torch.full((32, 3), float(index)))
        restarts += int((ends[:, 0].round() == index).sum())
    assert abs(restarts - 320) < 4 * math.sqrt(1280 * 0.25 * 0.75)


@pytest.mark.long
@pytest.mark.parametrize("kernel", [HMC(step_size=3.0), MALA(step_size=3.0)], ids=["HMC", "MALA"])
def test_step_sizes_are_adapted_to_the_target(kernel):
    # 400 runs at rate 0.1: the last hundred runs' mean acceptance is the target within a few of its own errors (64
    # chains a run).
    chains, cost, found = Chains(EVENT, kernel, steps=2, start="noise"), Pull(EVENT), []
    for _ in range(400):
        chains(cost, BroadSampler(EVENT), torch.zeros(4, 3), torch.zeros(64, 3))
        found.append(float(chains.acceptance))
    assert abs(sum(found[-100:]) / 100 - kernel.target_acceptance) < 0.04
    assert float(chains.step_size) != kernel.step_size


@pytest.mark.parametrize("event", [EVENT, BOX], ids=["real", "box"])
def test_both_coordinates_draw_from_the_same_model(event):
    # c is quadratic; means over 2000 chains in either coordinates agree within their joint error.
    sampler, cost = GaussianSampler(event, width=1.5), Pull(event, 0.7)
    found = []
    for coordinates in ("sample", "base"):
        chains = Chains(event, HMC(0.5), steps=30, start="sampler", coordinates=coordinates)
        ends = chains(cost, sampler, torch.zeros(4, *event["shape"]), sampler.sample(2000)[0])
        found.append(ends.flatten(1).mean(1).double())
    gap = float(found[0].mean() - found[1].mean())
    assert abs(gap) < 4 * math.hypot(*(float(part.std()) / math.sqrt(2000) for part in found))


def test_base_target_is_the_sample_target_through_the_flow():
    sampler = FlowSampler(BOX, transforms=2, hidden=[8], coupling=True).double()
    cost = Pull(BOX).double()
    base = torch.randn(6, 4, dtype=torch.float64)
    samples, log_det = sampler.from_base(base)
    here, there = BaseTarget(cost, sampler), SampleTarget(cost, BOX)
    position = there.to_position(samples)
    _, to_sample = there.constrain(position)
    torch.testing.assert_close(here.potential(base) + log_det, there.potential(position) + to_sample)
    torch.testing.assert_close(here.to_position(samples), base)
    for mine, other in zip(here.beside(sampler, base), there.beside(sampler, position), strict=True):
        torch.testing.assert_close(mine - log_det, other - to_sample)


def test_a_cost_relative_to_a_flow_scores_it_once():
    sampler = FlowSampler(BOX, transforms=2, hidden=[8], coupling=True).double()
    cost = TiltedCost(BOX, lambda event: MLPCost(event, hidden=[8])).double()
    cost.start_from(sampler)
    base = torch.randn(6, 4, dtype=torch.float64)
    fast, slow = BaseTarget(cost, cost.reference), BaseTarget(cost.forward, cost.reference)
    torch.testing.assert_close(fast.potential(base), slow.potential(base))
    samples, _ = sampler.from_base(base)
    torch.testing.assert_close(cost.relative(samples, cost.reference, sampler.log_prob(samples)), cost(samples))
    torch.testing.assert_close(cost.relative(samples, BroadSampler(BOX), torch.zeros(6)), cost(samples))


def test_state_goes_through_a_checkpoint():
    chains, cost, sampler = Chains(EVENT, buffer_size=16, steps=2), Pull(EVENT), BroadSampler(EVENT)
    for _ in range(3):
        chains(cost, sampler, torch.zeros(4, 3), torch.randn(8, 3))
    other = Chains(EVENT, buffer_size=16, steps=2)
    other.load_state_dict(chains.state_dict())
    other.restore(chains.state(), torch.device("cpu"))
    ends = []
    for each in (chains, other):
        torch.manual_seed(3)
        ends.append(each(cost, sampler, torch.zeros(4, 3), torch.randn(8, 3)))
    assert torch.equal(*ends)
    assert torch.equal(chains.kept, other.kept)


def test_explosion_is_noted_with_what_led_there():
    chains = Chains(EVENT, MALA(0.5), steps=1, start="sampler", energy_bound=100.0)
    chains(Pull(EVENT), BroadSampler(EVENT), torch.zeros(4, 3), torch.zeros(8, 3))
    chains.note(torch.tensor([1.0, -100.0]))
    step_size, acceptance = float(chains.step_size), float(chains.acceptance)
    chains.step_size.mul_(100)  # what comes after the explosion is not what led there
    for bad in (torch.nan, 1e9, -torch.inf):
        chains.note(torch.tensor([1.0, bad]))
    assert f"step size {step_size:.3g}, acceptance {acceptance:.2f}" in chains.advice()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "data"}, "start is 'data'; allowed: persistent"),
        ({"restart_from": "persistent"}, "restart_from is 'persistent'; allowed: demonstrations"),
        ({"coordinates": "latent"}, "coordinates is 'latent'; allowed: sample, base"),
        ({"steps": 0}, "steps is 0"),
        ({"restart_share": 1.5}, "restart_share 1.5"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        Chains(EVENT, **options)


def test_what_has_no_continuous_density_is_refused():
    with pytest.raises(ValueError, match="trajectories"):
        Chains(make_trajectory_event(5, [4], num_actions=2))


def test_base_coordinates_need_a_base():
    with pytest.raises(ValueError, match="BroadSampler has none"):
        Chains(EVENT, coordinates="base").target(Pull(EVENT), BroadSampler(EVENT))
