"""Tensors are made on the device of those they are combined with; a default device without data shows any that are
not.
"""

import torch

from lightning_irl.costs import MLPCost
from lightning_irl.costs.energy import Energy
from lightning_irl.partition.diagnostics import _generalised_pareto_shape
from lightning_irl.samplers import GaussianSampler
from lightning_irl.samplers.pixel_likelihood import one_of
from lightning_irl.spaces.event import make_event
from lightning_irl.spaces.support import BoxSupport
from lightning_irl.views.fusion import Fusion


def test_k_hat():
    exceedances = torch.rand(200, dtype=torch.float64).sort().values
    expected = _generalised_pareto_shape(exceedances)
    with torch.device("meta"):
        assert _generalised_pareto_shape(exceedances) == expected


def test_quadrature_finds_the_device_of_a_cost_over_its_temperature():
    cost = MLPCost(make_event("point", [2]), hidden=[4])
    found = {id(one) for one in Energy(cost, 2.0).tensors()}
    assert {id(one) for one in cost.parameters()} <= found


def test_kept_rounds_follow_the_draws():
    sampler = GaussianSampler(make_event("point", [2]))
    before, after = Fusion(2), Fusion(2)
    before.add(sampler, sampler.sample(5)[0])
    after.restore(before.state(), sampler)
    draws = torch.zeros(3, 2, device="meta")
    assert after.pool(draws).shape == (8, 2)
    assert after.pool(draws).device.type == "meta"
    assert after.log_density(draws, torch.zeros(3, device="meta")).device.type == "meta"


def test_the_box_uploads_nothing(monkeypatch):
    free = torch.randn(7, 4, dtype=torch.float64)
    samples, log_det = BoxSupport(-1.0, 3.0).constrain(free)
    slope = (samples + 1) * (3 - samples) / 4
    torch.testing.assert_close(log_det, slope.log().sum(-1), rtol=1e-12, atol=1e-12)
    monkeypatch.setattr(torch.Tensor, "new_tensor", None)
    BoxSupport(-1.0, 3.0).constrain(free)


def test_an_index_is_drawn_as_multinomial_draws_it():
    probabilities = torch.rand(500, 17).softmax(-1)
    torch.manual_seed(3)
    expected = torch.multinomial(probabilities, 1).squeeze(-1)
    torch.manual_seed(3)
    assert torch.equal(one_of(probabilities), expected)
