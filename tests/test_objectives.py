"""The equations against closed forms, against 60-digit roots, and against each other."""

import math

import pytest
import torch

from lightning_irl import objectives
from lightning_irl.verification import reference_log_z

DTYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_discriminator_logit_is_the_ratio_of_densities(dtype):
    cost, log_q, log_z = torch.randn(50, dtype=dtype), torch.randn(50, dtype=dtype), 0.3
    model = torch.exp(-cost - log_z)
    expected = model / (model + log_q.exp())
    actual = torch.sigmoid(objectives.discriminator_logits(cost, log_q, log_z))
    torch.testing.assert_close(actual, expected)
    assert actual.dtype == dtype


def test_generator_loss_is_the_sum_of_both_usual_ones():
    logits = torch.linspace(-700, 700, 99, dtype=torch.float64)
    both = objectives.saturating_generator_loss(logits) + objectives.non_saturating_generator_loss(logits)
    torch.testing.assert_close(objectives.generator_loss(logits), both, atol=1e-12, rtol=0)


def test_generator_loss_is_log_z_plus_sampler_loss():
    cost, log_q = torch.randn(2, 64, dtype=torch.float64)
    log_z = torch.tensor(1.7, dtype=torch.float64)
    logits = objectives.discriminator_logits(cost, log_q, log_z)
    expected = log_z + objectives.sampler_loss(cost, log_q)
    torch.testing.assert_close(objectives.generator_loss(logits), expected, atol=1e-14, rtol=0)


def test_margin_loss_by_hand():
    """E_p[c] = 2; of draws at 1, 5 and 9 under a margin of 6, 5 and 1 are missing. Above the margin a draw has no
    gradient.
    """
    demo = torch.tensor([1.0, 3.0], dtype=torch.float64, requires_grad=True)
    sample = torch.tensor([1.0, 5.0, 9.0], dtype=torch.float64, requires_grad=True)
    loss = objectives.margin_discriminator_loss(demo, sample, 6.0)
    assert loss.item() == pytest.approx(2 + (5 + 1 + 0) / 3, abs=1e-14)
    loss.backward()
    assert demo.grad.tolist() == [0.5, 0.5]
    assert sample.grad.tolist() == pytest.approx([-1 / 3, -1 / 3, 0.0])


def test_importance_log_z_of_a_gaussian():
    """E_q[exp(-c)/q] for c = x^2/2 and q = N(0, 2^2): the relative variance of the weights is 4/sqrt(7) - 1."""
    num = 200_000
    x = 2 * torch.randn(num, dtype=torch.float64)
    log_q = -(x**2) / 8 - math.log(2) - 0.5 * math.log(2 * math.pi)
    error = objectives.importance_log_z(x**2 / 2, log_q) - 0.5 * math.log(2 * math.pi)
    assert abs(error) < 4 * math.sqrt((4 / math.sqrt(7) - 1) / num)


def test_mixture_means_are_half_and_half_whatever_the_counts():
    demo_cost, sample_cost = torch.zeros(3, dtype=torch.float64), torch.full((900,), 2.0, dtype=torch.float64)
    zeros = torch.zeros_like
    actual = objectives.mixture_log_z(demo_cost, sample_cost, zeros(demo_cost), zeros(sample_cost))
    assert actual.item() == pytest.approx(math.log(0.5 + 0.5 * math.exp(-2)), abs=1e-14)


def test_weights_are_held_constant():
    cost, log_mu = torch.randn(8, requires_grad=True), torch.randn(8, requires_grad=True)
    objectives.mixture_log_z(cost, cost, log_mu, log_mu).backward()
    objectives.importance_log_z(cost, log_mu).backward()
    assert log_mu.grad is None
    assert cost.grad is not None


CASES = {
    "overlapping": (torch.randn(100), torch.randn(120)),
    "1000 against -1000": (torch.full((5,), 1000.0), torch.full((7,), -1000.0)),
    "-1000 against 1000": (torch.full((5,), -1000.0), torch.full((7,), 1000.0)),
    "3 demonstrations, 1 draw": (torch.tensor([3.0, -1.0, 40.0]), torch.tensor([-20.0])),
    "1 demonstration, 300 draws": (torch.tensor([12.0]), 30 * torch.randn(300)),
    "outliers": (torch.tensor([0.0, 0.1, 800.0]), torch.tensor([-900.0, 0.2, 0.3])),
    "all equal": (torch.full((4,), 5.0), torch.full((4,), 5.0)),
    "draws over hundreds of nats": (torch.linspace(7, 47, 160), torch.linspace(-780, 24, 220)),
    "many narrow against many wide": (10 * torch.randn(160), -300 * torch.randn(214).abs()),
    "far from zero": (1e4 + torch.randn(64), 1e4 - 3 + torch.randn(64)),
}


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_optimal_log_z_is_the_root(case, dtype):
    demo, sample = (values.to(dtype) for values in CASES[case])
    solved = objectives.optimal_log_z(-demo, torch.zeros_like(demo), -sample, torch.zeros_like(sample))
    exact = reference_log_z(-demo, torch.zeros_like(demo), -sample, torch.zeros_like(sample))
    assert solved.dtype == dtype
    scale = max(1.0, float(torch.cat([demo, sample]).abs().max()))
    assert abs(float(solved) - exact) <= 20 * torch.finfo(dtype).eps * scale


@pytest.mark.long
def test_optimal_log_z_on_hard_random_cases():
    generator = torch.Generator().manual_seed(1)
    for index in range(100):
        spread = 10 ** (4 * torch.rand(2, generator=generator, dtype=torch.float64) - 1)
        shift = 1000 * torch.randn((), generator=generator, dtype=torch.float64)
        sizes = torch.randint(1, 200 if index % 5 == 0 else 12, (2,), generator=generator).tolist()
        demo = shift + spread[0] * torch.randn(sizes[0], generator=generator, dtype=torch.float64)
        sample = spread[1] * torch.randn(sizes[1], generator=generator, dtype=torch.float64)
        zeros = torch.zeros_like
        solved = objectives.optimal_log_z(-demo, zeros(demo), -sample, zeros(sample))
        exact = reference_log_z(-demo, zeros(demo), -sample, zeros(sample))
        assert abs(float(solved) - exact) < 1e-10, (demo, sample)


def test_optimal_log_z_minimises_the_discriminator_loss():
    demo, sample = torch.randn(40, dtype=torch.float64) + 2, torch.randn(50, dtype=torch.float64)
    log_z = objectives.optimal_log_z(-demo, 0 * demo, -sample, 0 * sample).requires_grad_()
    objectives.discriminator_loss(demo - log_z, sample - log_z).backward()
    assert abs(log_z.grad) < 1e-14


def test_gradients_agree_at_the_optimum_and_not_off_it():
    """Fact 2 on a cost that is linear in its parameters, with unequal counts."""
    theta = torch.randn(4, dtype=torch.float64, requires_grad=True)
    demo, sample = torch.randn(30, 4, dtype=torch.float64) + 0.5, torch.randn(47, 4, dtype=torch.float64)
    demo_log_q, sample_log_q = -demo.square().sum(-1) / 2, -sample.square().sum(-1) / 2

    def gradients(offset):
        demo_cost, sample_cost = demo @ theta, sample @ theta
        log_z = objectives.optimal_log_z(demo_cost, demo_log_q, sample_cost, sample_log_q) + offset
        logits = objectives.discriminator_logits
        adversarial = objectives.discriminator_loss(
            logits(demo_cost, demo_log_q, log_z), logits(sample_cost, sample_log_q, log_z)
        )
        mu = objectives.mixture_log_density
        mixture = objectives.mixture_log_z(
            demo_cost, sample_cost, mu(-demo_cost - log_z, demo_log_q), mu(-sample_cost - log_z, sample_log_q)
        )
        loss = objectives.maxent_cost_loss(demo_cost, mixture)
        return torch.autograd.grad(adversarial, theta, retain_graph=True)[0], torch.autograd.grad(loss, theta)[0]

    at, paper = gradients(0.0)
    assert (at - paper).norm() / paper.norm() < 1e-13
    off, paper = gradients(0.5)
    assert (off - paper).norm() / paper.norm() > 0.1
