"""Views on images of discrete levels: the pair learns, against the sum over every image, and what does not apply says
so.
"""

from functools import partial

import pytest
import torch

from lightning_irl.command.cli import main
from lightning_irl.costs import ConvCost, MLPCost, TiltedCost
from lightning_irl.learners import ScoreFunction
from lightning_irl.samplers import AutoregressiveSampler, BroadSampler
from lightning_irl.spaces.event import make_event
from lightning_irl.spaces.lattice import Lattice
from lightning_irl.views import EBM, GAN

EVENT = make_event("image", [1, 2, 2], support="box", base_measure="counting", levels=3, location=[0.5], scale=[0.3])
LATTICE = Lattice(EVENT)
STATES = LATTICE.to_samples(next(LATTICE.states(81)), torch.float32)
tiny = partial(AutoregressiveSampler, features=8, blocks=1)


def truth():
    """A distribution over the 81 images with skew and dependence."""
    flat = STATES.flatten(1)
    return (4 * flat[:, 0] * flat[:, 3] - 3 * flat[:, 1] + 3 * (6 * flat[:, 2]).sin()).softmax(0)


def divergences(view):
    """KL of model and of sampler from the truth, in nats."""
    p = truth()
    with torch.no_grad():
        log_model, log_q = (-view.energy(STATES)).log_softmax(0), view.sampler.log_prob(STATES)
    return [(p * (p.log() - log_p)).sum().item() for log_p in (log_model, log_q)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("view", "cost"),
    [(GAN, partial(MLPCost, hidden=[32])), (EBM, partial(TiltedCost, cost=partial(MLPCost, hidden=[32])))],
)
def test_the_pair_learns_a_distribution_over_images(view, cost):
    torch.manual_seed(0)
    pair = view(EVENT, cost, tiny, learner=ScoreFunction)
    cost_optimizer, sampler_optimizer = (torch.optim.Adam(m.parameters(), lr=1.5e-2) for m in (pair.cost, pair.sampler))
    before = divergences(pair)
    for _ in range(100):
        demonstrations = STATES[torch.multinomial(truth(), 256, replacement=True)]
        cost_loss = pair.cost_loss(demonstrations, *pair.sampler.sample(256))
        cost_optimizer.zero_grad()
        cost_loss.backward()
        cost_optimizer.step()
        sampler_loss = pair.sampler_loss(demonstrations)
        sampler_optimizer.zero_grad()
        sampler_loss.backward()
        sampler_optimizer.step()
    after = divergences(pair)
    assert min(before) > 0.5
    assert max(after) < 0.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "AutoregressiveSampler has no differentiable draws; set learner to ScoreFunction"),
        (
            {"learner": ScoreFunction, "negative_phase": "mixture", "p_hat": "fitted"},
            "p_hat=fitted, a Gaussian, is for continuous samples, and the event counts 3 levels",
        ),
    ],
)
def test_what_does_not_apply_says_so(options, words):
    with pytest.raises(ValueError, match=words):
        EBM(EVENT, MLPCost, tiny, **options)


def test_every_cost_takes_levels_as_points_of_the_box():
    for cost in (MLPCost(EVENT), ConvCost(EVENT, widths=[4])):
        assert cost(STATES).shape == (81,)
    broad = EBM(EVENT, partial(TiltedCost, cost=MLPCost), BroadSampler, sampler_steps=0)
    assert torch.isfinite(broad.energy(STATES)).all()


@pytest.mark.long
@pytest.mark.parametrize(
    ("transform", "sampler", "words"),
    [
        ("discrete", "FlowSampler", "the event counts 17 levels in each coordinate; use AutoregressiveSampler"),
        (
            "scale",
            "AutoregressiveSampler",
            "base measure lebesgue: serve counted images, as DigitsDataModule does with",
        ),
    ],
)
def test_data_and_sampler_that_do_not_fit_are_told_apart(transform, sampler, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    options = ["--threads=1", "--trainer.accelerator=cpu", f"--data.transform={transform}"]
    config = "ebm/digits_discrete" if sampler == "AutoregressiveSampler" else "ebm/digits"
    assert main(["fit", "--config", config, *options]) == 2
    assert words in " ".join(capfd.readouterr().err.split())
