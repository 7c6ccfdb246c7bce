"""What every learner must do: descend the mean of an objective over the sampler's draws."""

import math

import pytest
import torch

from lightning_irl.learners import Learner, Reparameterised, ScoreFunction
from lightning_irl.samplers import DefensiveSampler, GaussianSampler, GeneratorSampler, Sampler
from lightning_irl.spaces.event import make_event

EVENT = make_event("point", [2], location=[1.0, -2.0], scale=[0.5, 3.0])
LEARNERS = [Reparameterised, ScoreFunction]


class Undifferentiable(GaussianSampler):
    has_rsample = False
    rsample = Sampler.rsample


class Counting(GaussianSampler):
    asked = 0

    def rsample(self, num_samples):  # which sample() calls too
        self.asked += num_samples
        return super().rsample(num_samples)


def gaussian(kind=GaussianSampler):
    torch.manual_seed(0)
    sampler = kind(EVENT).double()
    with torch.no_grad():
        for parameter in sampler.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return sampler


def skewed(samples, log_q):
    """A cost, and a term that depends on log q other than linearly."""
    first, second = samples.unbind(-1)
    return 0.2 * (second + first.square()).abs() + first + 0.5 * log_q.exp() + log_q


def gradients(learner, sampler, objective, batches, num_samples):
    parameters = list(sampler.parameters())
    rows = []
    for _ in range(batches):
        gradient = torch.autograd.grad(learner.loss(sampler, objective, num_samples), parameters)
        rows.append(torch.cat([part.flatten() for part in gradient]))
    rows = torch.stack(rows)
    return rows.mean(0), rows.std(0) / math.sqrt(batches)


@pytest.mark.long
@pytest.mark.parametrize(("num_samples", "batches"), [(2, 4000), (500, 160)])
def test_both_learners_descend_the_same_gradient(num_samples, batches):
    """Within 4 standard errors of the difference; also of 2 draws, where a baseline of the draws' own mean would halve
    it.
    """
    sampler = gaussian()
    pathwise, pathwise_error = gradients(Reparameterised(EVENT), sampler, skewed, batches // 4, num_samples)
    score, score_error = gradients(ScoreFunction(EVENT), sampler, skewed, batches, num_samples)
    error = (pathwise_error.square() + score_error.square()).sqrt()
    assert ((pathwise - score).abs() <= 4 * error + 1e-12).all()
    assert (pathwise.abs() > 8 * error).any()  # it has power


def test_score_function_needs_no_differentiable_cost():
    """E_q[1(x_1 > 1.5)] under a Gaussian in closed form; 4 standard errors."""
    sampler = gaussian()
    mean, scale = sampler.mean[0], sampler.log_diagonal[0].exp()
    expected = torch.autograd.grad(torch.special.ndtr((mean - 1.5) / scale), [sampler.mean, sampler.log_diagonal])
    expected = torch.stack([expected[0][0], expected[1][0]])
    value, error = gradients(
        ScoreFunction(EVENT), sampler, lambda samples, log_q: (samples[:, 0] > 1.5).double(), 200, 500
    )
    index = [0, 2]  # mean[0] and log_diagonal[0] in the concatenation
    assert ((value[index] - expected).abs() <= 4 * error[index]).all()
    assert (expected.abs() > 8 * error[index]).all()


@pytest.mark.parametrize("kind", LEARNERS)
def test_the_losss_value_is_the_objectives_mean(kind):
    """So that what is logged is the loss: the same draws, the same value."""
    sampler = gaussian()
    torch.manual_seed(5)
    loss = kind(EVENT).loss(sampler, skewed, 64)
    torch.manual_seed(5)
    samples, log_q = sampler.sample(64)
    assert loss.shape == ()
    torch.testing.assert_close(loss, skewed(samples, log_q).mean())


@pytest.mark.parametrize("kind", LEARNERS)
def test_draws_as_many_as_asked(kind):
    sampler = gaussian(Counting)
    kind(EVENT).loss(sampler, skewed, 33)
    assert sampler.asked == 33


@pytest.mark.parametrize("kind", LEARNERS)
def test_nothing_is_made_on_another_device(kind):
    sampler = DefensiveSampler(EVENT, GaussianSampler)
    learner = kind(EVENT)
    with torch.device("meta"):
        loss = learner.loss(sampler, skewed, 8)
        loss.backward()
    assert loss.device.type == "cpu"
    assert isinstance(learner, Learner)


def test_each_refuses_what_it_cannot_train():
    dense, undifferentiable, generator = gaussian(), Undifferentiable(EVENT), GeneratorSampler(EVENT)
    for learner, sampler in [
        (Reparameterised, dense),
        (ScoreFunction, dense),
        (Reparameterised, generator),
        (ScoreFunction, undifferentiable),
    ]:
        learner(EVENT).check(sampler)
    with pytest.raises(ValueError, match="Undifferentiable has no differentiable draws; set learner to ScoreFunction"):
        Reparameterised(EVENT).check(undifferentiable)
    with pytest.raises(ValueError, match=r"GeneratorSampler has no density, .*; set learner to Reparameterised"):
        ScoreFunction(EVENT).check(generator)
