"""Transforms that go both ways against zuko's own, on the same weights."""

from functools import partial

import pytest
import torch
from zuko.flows import MaskedAutoregressiveTransform
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform

from lightning_irl.samplers.one_pass import AutoregressiveLayer, CouplingLayer, Spline

SHAPES = [(4,), (4,), (3,)]
KINDS = {
    "coupling": (CouplingLayer, GeneralCouplingTransform, 1),
    "autoregressive": (AutoregressiveLayer, MaskedAutoregressiveTransform, 5),
}
UNIVARIATES = {
    "spline": (partial(Spline, bound=2.0), partial(MonotonicRQSTransform, bound=2.0), SHAPES),
    "affine": (MonotonicAffineTransform, MonotonicAffineTransform, [(), ()]),
}


def layers(kind, univariate, dimension=5):
    """Ours and zuko's with the same weights, and the passes that ours should need."""
    torch.manual_seed(0)
    (ours, theirs, passes), (mine, other, shapes) = KINDS[kind], UNIVARIATES[univariate]
    layer = ours(dimension, univariate=mine, shapes=shapes).double()
    peer = theirs(dimension, univariate=other, shapes=shapes).double()
    peer.load_state_dict(layer.state_dict())
    return layer, peer, passes


@pytest.mark.parametrize("is_inverse", [False, True])
@pytest.mark.parametrize("univariate", UNIVARIATES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dimension", [1, 5])
def test_both_ways_are_zukos_with_their_gradients(kind, univariate, is_inverse, dimension):
    layer, peer, _ = layers(kind, univariate, dimension)
    values = 1.5 * torch.randn(50, dimension, dtype=torch.float64)
    weights = torch.randn(50, dimension + 1, dtype=torch.float64)
    results = []
    for one in (layer, peer):
        given = values.clone().requires_grad_()
        transform = one().inv if is_inverse else one()
        found, log_det = transform.call_and_ladj(given)
        total = (torch.cat([found, log_det[:, None]], 1) * weights).sum()
        results.append([found, log_det, *torch.autograd.grad(total, [given, *one.parameters()])])
        torch.testing.assert_close(transform(given), found)
        torch.testing.assert_close(transform.log_abs_det_jacobian(given, found), log_det)
        torch.testing.assert_close(transform.inv(found), given, rtol=1e-6, atol=1e-6)
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("univariate", UNIVARIATES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_called_no_more_often_than_its_inverse_needs(kind, univariate):
    layer, _, passes = layers(kind, univariate)
    calls = []
    layer.hyper.register_forward_hook(lambda *_: calls.append(1))
    layer().inv.call_and_ladj(torch.randn(3, 5, dtype=torch.float64))
    assert len(calls) == passes
