"""The autoregressive sampler of discrete pixels, against the sum over every image there is."""

import math
from functools import partial

import pytest
import torch
from scipy.stats import chi2

from lightning_irl.learners import ScoreFunction
from lightning_irl.partition import quadrature
from lightning_irl.partition.importance import importance
from lightning_irl.samplers import (
    AutoregressiveSampler,
    BroadSampler,
    DefensiveSampler,
    FlowSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    GeneratorSampler,
)
from lightning_irl.samplers.pixel_likelihood import MIN_LOG_SCALE, DiscretisedLogistics
from lightning_irl.spaces.event import make_event
from lightning_irl.spaces.lattice import Lattice

LIKELIHOODS = ["categorical", "logistics"]
TINY = [([1, 2, 2], 3), ([2, 2, 2], 2), ([3, 1, 2], 3), ([1, 3, 3], 2)]


def counted(shape, levels, **box):
    return make_event("image", shape, support="box", base_measure="counting", levels=levels, **box)


def build(shape, levels, likelihood=None, seed=0, **options):
    """Nowhere near its symmetric start, in float64."""
    torch.manual_seed(seed)
    options = {"features": 6, "blocks": 2, "components": 3, **options}
    sampler = AutoregressiveSampler(counted(shape, levels, low=-1.0, high=3.0), likelihood, **options).double()
    with torch.no_grad():
        for parameter in sampler.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return sampler


def states(event):
    lattice = Lattice(event)
    return lattice.to_samples(torch.cat(list(lattice.states(100))), torch.float64)


def state_numbers(samples, event):
    lattice = Lattice(event)
    place = lattice.levels ** torch.arange(lattice.dimension - 1, -1, -1)
    return (lattice.to_levels(samples)[0].flatten(1) * place).sum(1)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(("shape", "levels"), TINY)
def test_probabilities_sum_to_one(shape, levels, likelihood):
    sampler = build(shape, levels, likelihood)
    every = states(sampler.event)
    assert len(every.unique(dim=0)) == levels ** math.prod(shape)
    log_q = sampler.log_prob(every)
    assert (log_q < 0).all()
    assert log_q.exp().sum().item() == pytest.approx(1, abs=1e-10)
    assert log_q.std() > 0.1


def test_a_mixture_of_logistics_sums_to_one_however_sharp_and_far_away():
    for levels in (2, 17, 256):
        likelihood = DiscretisedLogistics(levels, 2)
        means = torch.tensor([[-30.0, 0.3], [0.02, 5.0], [1.0, -1.0]], dtype=torch.float64)
        log_scales = torch.tensor([[2.0, -9.0], [MIN_LOG_SCALE, 0.0], [10.0, -3.0]], dtype=torch.float64)
        parameters = torch.cat([torch.tensor([[0.0, 1.0]] * 3).double(), means, log_scales], -1)
        log_p = likelihood.log_prob(parameters[:, None].expand(-1, levels, -1), torch.arange(levels).expand(3, -1))
        assert torch.isfinite(log_p).all()
        torch.testing.assert_close(log_p.exp().sum(1), torch.ones(3).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("shape", [[1, 4, 5], [3, 3, 3]])
def test_a_pixel_depends_on_all_of_its_past_and_on_nothing_else(shape, likelihood):
    """By autograd's Jacobian of the distributions' parameters in the pixels: zero from a pixel's own place on, and,
    because the network reaches over these images, nowhere zero before (raster order, channels innermost)."""
    sampler = build(shape, 3, likelihood, blocks=4)
    channels = shape[0]

    def parameters(images):
        features = sampler.network(images)
        each = [sampler._parameters_of(channel, features, images)[..., 0] for channel in range(channels)]
        return torch.stack(each, -1)  # (1, H, W, C): the order of the factorisation, flattened

    images = torch.randn(1, *shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(parameters, images).view(math.prod(shape), *shape)
    depends = jacobian.movedim(1, -1).flatten(1) != 0
    assert torch.equal(depends, torch.ones_like(depends).tril(-1))


def test_no_gradient_in_the_samples_and_none_off_the_lattice():
    sampler = build([1, 2, 2], 3)
    samples = sampler.sample(5)[0].requires_grad_(True)
    log_q = sampler.log_prob(samples)
    (gradient,) = torch.autograd.grad(log_q.sum(), samples, allow_unused=True)
    assert gradient is None
    for moved in (samples + 0.5, samples + 4.0, samples * math.nan, samples + math.inf):  # a level is 4/3 wide
        assert (sampler.log_prob(moved) == -math.inf).all()
        assert (BroadSampler(sampler.event).log_prob(moved) == -math.inf).all()
    assert torch.equal(sampler.log_prob(samples.float()), log_q)  # rounding is not off the lattice


@pytest.mark.long
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(("shape", "levels"), TINY[:2])
def test_draws_follow_the_probabilities(shape, levels, likelihood):
    """Pearson's chi-square over all states; exceeded by chance with probability 1e-4 at a fixed seed."""
    sampler, num = build(shape, levels, likelihood), 20_000
    expected = num * sampler.log_prob(states(sampler.event)).exp().detach()
    counts = torch.bincount(state_numbers(sampler.sample(num)[0], sampler.event), minlength=len(expected))
    is_large = expected >= 5
    expected = torch.cat([expected[is_large], expected[~is_large].sum()[None].clamp(min=1.0)])
    counts = torch.cat([counts[is_large], counts[~is_large].sum()[None]])
    assert len(expected) > 30
    assert ((counts - expected).square() / expected).sum() < chi2.ppf(1 - 1e-4, len(expected) - 1)


def test_broad_draws_are_uniform_over_the_levels():
    """Chi-square over all states, as above."""
    sampler, num = BroadSampler(counted([1, 2, 2], 3)), 40_000
    samples, log_q = sampler.sample(num)
    assert log_q.tolist() == pytest.approx([-4 * math.log(3)] * num)
    counts = torch.bincount(state_numbers(samples, sampler.event), minlength=81)
    assert ((counts - num / 81).square() / (num / 81)).sum() < chi2.ppf(1 - 1e-4, 80)


def skewed_cost(samples):
    flat = samples.flatten(1)
    return 0.7 * flat[:, 0] - flat[:, 1] * flat[:, -1] + 0.4 * flat.square().sum(1).sin()


@pytest.mark.long
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_score_function_descends_the_gradient_of_the_sum_over_states(likelihood):
    """E_q[c + log q] by ScoreFunction, the mean of 100 batches of 250 draws, entry by entry against autograd through
    the sum over 81 states: within 5 standard errors, estimated from the batches, which one of 1,000 entries exceeds by
    chance with probability 3e-3 (Student's t, 99 degrees of freedom) at a fixed seed."""
    sampler = build([1, 2, 2], 3, likelihood, features=4, blocks=1)
    parameters = list(sampler.parameters())
    every = states(sampler.event)
    log_q = sampler.log_prob(every)
    whole = torch.autograd.grad((log_q.exp() * (skewed_cost(every) + log_q)).sum(), parameters)
    expected = torch.cat([part.flatten() for part in whole])
    learner, rows = ScoreFunction(sampler.event), []
    for _ in range(100):
        loss = learner.loss(sampler, lambda samples, log_q: skewed_cost(samples) + log_q, 250)
        rows.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)]))
    rows = torch.stack(rows)
    error = rows.std(0) / math.sqrt(len(rows))
    assert ((rows.mean(0) - expected).abs() <= 5 * error + 1e-12).all()
    assert (expected.abs() > 8 * error).sum() > len(expected) / 10  # it has power


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_log_z_by_importance_is_the_sum_over_states(likelihood):
    sampler = build([2, 2, 2], 2, likelihood)
    exact = quadrature(skewed_cost, sampler.event)
    broad = BroadSampler(sampler.event)
    for start in (sampler, broad, DefensiveSampler(sampler.event, partial(AutoregressiveSampler, features=4))):
        estimate = importance(skewed_cost, start, 8192)
        assert estimate.reliable
        assert abs(estimate.log_z - exact.log_z) < 4 * estimate.stderr
        assert estimate.stderr < 0.1


def test_a_samplers_own_cost_has_no_log_z():
    sampler = build([2, 2, 2], 2)
    estimate = quadrature(lambda samples: -sampler.log_prob(samples), sampler.event)
    assert estimate.log_z == pytest.approx(0, abs=1e-6)


def test_the_likelihood_is_chosen_by_the_levels_and_fits_both_names():
    kinds = {n: type(AutoregressiveSampler(counted([1, 2, 2], n)).likelihood).__name__ for n in (2, 32, 33, 256)}
    assert kinds == {2: "Categorical", 32: "Categorical", 33: "DiscretisedLogistics", 256: "DiscretisedLogistics"}
    assert type(AutoregressiveSampler(counted([1, 2, 2], 256), "categorical").likelihood).__name__ == "Categorical"


def test_it_starts_broad():
    """Near the largest entropy there is, whatever the location of the data: 3 images of 4 x 4 at 17 levels."""
    sampler = AutoregressiveSampler(counted([3, 4, 4], 17))
    _, log_q = sampler.sample(200)
    assert -log_q.mean() > 0.98 * 48 * math.log(17)
    ordered = AutoregressiveSampler(counted([3, 4, 4], 256))
    assert -ordered.sample(200)[1].mean() > 0.95 * 48 * math.log(256)


def test_dropout_is_for_training_alone():
    sampler = AutoregressiveSampler(counted([1, 4, 4], 3), dropout=0.5)
    samples = sampler.sample(5)[0]
    assert not torch.equal(sampler.log_prob(samples), sampler.log_prob(samples))
    sampler.eval()
    assert torch.equal(sampler.log_prob(samples), sampler.log_prob(samples))


def test_it_refuses_what_it_cannot_draw():
    refused = "draws images \\[C, H, W\\] of discrete levels; the event is of kind {}.* base measure {}"
    for event, words in [
        (make_event("image", [1, 8, 8], support="box"), ("image", "lebesgue")),
        (make_event("point", [2]), ("point", "lebesgue")),
        (make_event("point", [2], support="box", base_measure="counting", levels=4), ("point", "counting")),
        (counted([8, 8], 4), ("image", "counting")),
    ]:
        with pytest.raises(ValueError, match=refused.format(*words)):
            AutoregressiveSampler(event)
    event = counted([1, 2, 2], 3)
    with pytest.raises(ValueError, match="likelihood is 'gaussian'; allowed: categorical, logistics"):
        AutoregressiveSampler(event, "gaussian")
    for kernel in (1, 4):
        with pytest.raises(ValueError, match=f"kernel is {kernel}; it must be odd and at least 3"):
            AutoregressiveSampler(event, kernel=kernel)
    with pytest.raises(ValueError, match="features, blocks and components must be at least 1"):
        AutoregressiveSampler(event, blocks=0)


@pytest.mark.parametrize("kind", [FlowSampler, GaussianSampler, GaussianMixtureSampler, GeneratorSampler])
def test_continuous_samplers_refuse_levels_and_name_this_one(kind):
    with pytest.raises(
        ValueError, match=rf"{kind.__name__} is for continuous .* 3 levels .* use AutoregressiveSampler"
    ):
        kind(counted([1, 2, 2], 3))
    with pytest.raises(ValueError, match="use AutoregressiveSampler"):
        DefensiveSampler(counted([1, 2, 2], 3), kind)
