"""The f-divergences: two are the paper's losses, and all are tight where the model is the data."""

import math
from functools import partial

import pytest
import torch

from lightning_irl.costs import MLPCost, QuadraticCost
from lightning_irl.samplers import GaussianMixtureSampler, GaussianSampler, GeneratorSampler
from lightning_irl.spaces.event import make_event
from lightning_irl.verification import verify
from lightning_irl.views import EBM, GAN, FDivergence, PooledRounds, View
from lightning_irl.views.f_divergence import DIVERGENCES

MLP = partial(MLPCost, hidden=[12])
EVENT = make_event("point", [2], location=[1.0, -2.0], scale=[0.5, 3.0])
every_divergence = pytest.mark.parametrize("divergence", DIVERGENCES)


def build(kind=View, cost=MLP, sampler=GaussianSampler, event=EVENT, **options):
    torch.manual_seed(0)
    built = kind(event, cost, sampler, **options).double()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in [*built.cost.parameters(), *built.sampler.parameters()]:
            parameter.add_(0.2 * torch.randn_like(parameter))
    return built


def of(divergence, **options):
    return build(cost_loss=partial(FDivergence, divergence=divergence), **options)


def batch(view, num=40):
    generator = torch.Generator().manual_seed(2)
    demonstrations = torch.randn(num, 2, generator=generator, dtype=torch.float64).exp() - 2
    torch.manual_seed(3)
    return demonstrations, *view.sampler.sample(30)


def gradient(loss, view):
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(view.cost.parameters()))])


@pytest.mark.parametrize(
    ("divergence", "kind", "options"),
    [("jensen_shannon", GAN, {}), ("forward_kl", EBM, {"negative_phase": "importance"})],
)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_two_members_are_the_papers_own_losses(divergence, kind, options, temperature):
    ours, papers = of(divergence, temperature=temperature), build(kind, temperature=temperature, **options)
    losses = [view.cost_loss(*batch(view)) for view in (ours, papers)]
    torch.testing.assert_close(ours.log_z, papers.log_z, rtol=1e-10, atol=1e-10)
    left, right = (gradient(loss, view) for loss, view in zip(losses, (ours, papers), strict=True))
    assert (left - right).norm() < 1e-10 * right.norm()
    assert ours.departures() == []
    if divergence == "jensen_shannon":
        torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-12)


@every_divergence
def test_log_z_is_where_the_bound_is_largest(divergence):
    """The slope of the loss in log_z is zero at the log Z that it finds, and its curvature is not negative there."""
    view = of(divergence)
    demonstrations, samples, log_q = batch(view)
    view.cost_loss(demonstrations, samples, log_q)
    demo, sample = (view.pair.ratio(x, torch.zeros(())).detach() for x in (demonstrations, samples))
    slope, conjugate, _ = DIVERGENCES[divergence]
    log_z = view.log_z.clone().requires_grad_()
    loss = conjugate(sample - log_z).mean() - slope(demo - log_z).mean()
    (first,) = torch.autograd.grad(loss, log_z, create_graph=True)
    (second,) = torch.autograd.grad(first, log_z)
    assert abs(float(first)) < 1e-9 * (1 + abs(float(loss)))
    assert float(second) > 0


@every_divergence
def test_the_bound_is_the_divergence_where_the_model_is_the_data(divergence):
    """Of N(m, 1) from N(0, 1), whose divergences are known; within five standard errors of 100,000 samples."""
    m = 0.8
    known = {
        "forward_kl": m**2 / 2,
        "reverse_kl": m**2 / 2,
        "pearson": math.exp(m**2) - 1,
        "squared_hellinger": 2 - 2 * math.exp(-(m**2) / 8),
    }
    view = build(
        event=make_event("point", [1]), cost=QuadraticCost, cost_loss=partial(FDivergence, divergence=divergence)
    )
    with torch.no_grad():
        for parameter in [*view.cost.parameters(), *view.sampler.parameters()]:
            parameter.zero_()
        view.cost.mean.fill_(m)
    torch.manual_seed(4)
    demonstrations = torch.randn(100_000, 1, dtype=torch.float64) + m
    samples, log_q = view.sampler.sample(100_000)
    found = -view.cost_loss(demonstrations, samples, log_q)
    ratio = [view.pair.ratio(x, view.log_z).detach() for x in (demonstrations, samples)]
    slope, conjugate, _ = DIVERGENCES[divergence]
    error = math.sqrt(float(slope(ratio[0]).var() + conjugate(ratio[1]).var()) / 100_000)
    if divergence == "jensen_shannon":  # by quadrature: E_p log D + E_q log(1 - D)
        grid = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
        p, q = (torch.exp(-((grid - mean) ** 2) / 2) / math.sqrt(2 * math.pi) for mean in (m, 0.0))
        known[divergence] = float(torch.trapezoid(p * (p / (p + q)).log() + q * (q / (p + q)).log(), grid))
    assert abs(float(found) - known[divergence]) < 5 * error
    assert abs(float(view.log_z) - math.log(2 * math.pi) / 2) < 0.02


def test_it_is_known_by_name_refused_where_it_cannot_be_and_verified_like_any_other():
    with pytest.raises(ValueError, match="divergence is 'total'; allowed: forward_kl"):
        of("total")
    with pytest.raises(ValueError, match="GeneratorSampler has no density; divergence=pearson needs one"):
        of("pearson", sampler=GeneratorSampler)
    view = of("squared_hellinger", sampler=partial(GaussianMixtureSampler, components=2), rounds=PooledRounds(16, 1))
    assert view.has_model
    found = verify(view, batch(view)[0])
    assert found.exit_code == 0
    assert found.trained_gradient > 1e-3
    assert found.trained_sampler_gradient < 1e-10
    assert found.departures == tuple(view.departures())
    assert len(found.departures) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("guided_cost.p_hat.mean", "cost_objective.p_hat.mean"),
        ("chains.step_size", "cost_objective.chains.step_size"),
    ],
)
def test_state_of_an_earlier_version_is_taken_by_its_new_name(old, new):
    options = {"negative_phase": "mixture", "p_hat": GaussianSampler} if "p_hat" in old else {"negative_phase": "mcmc"}
    view, other = build(EBM, **options), build(EBM, **options)
    state = view.state_dict()
    value = state.pop(new) + 1
    before = {key.replace("cost_objective.chains.", "chains."): part for key, part in state.items()}
    before = {key.replace("cost_objective.", "guided_cost."): part for key, part in before.items()}
    other.load_state_dict(before | {old: value})
    assert torch.equal(other.state_dict()[new], value)
