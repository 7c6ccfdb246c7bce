"""What every transport must do; a new kind is covered by a line in TRANSPORTS."""

import math
from functools import partial

import pytest
import torch

from lightning_irl.samplers import FlowSampler, GaussianSampler, MultiscaleFlow, Transport
from lightning_irl.spaces.event import make_event

LOW, HIGH = -1.0, 3.0
EVENTS = {
    "line": make_event("point", [1], location=[1.0], scale=[0.5]),
    "plane": make_event("point", [2], location=[1.0, -2.0], scale=[0.5, 3.0]),
    "interval": make_event("point", [1], support="box", low=LOW, high=HIGH),
    "box": make_event("point", [2], support="box", low=LOW, high=HIGH, location=[0.5, 2.0]),
    "digits": make_event("image", [1, 8, 8], support="box", location=[0.3], scale=[0.4]),
    "colours": make_event("image", [3, 8, 8], location=[0.3], scale=[0.4]),
}
small = {"transforms": 2, "hidden": [8]}
spline, affine = partial(FlowSampler, bins=5, **small), partial(FlowSampler, transform="affine", **small)
multiscale = partial(MultiscaleFlow, steps=[2, 3], hidden=[6, 6])
TRANSPORTS = {
    "gaussian": GaussianSampler,
    "autoregressive spline": partial(spline, coupling=False),
    "spline coupling": partial(spline, coupling=True),
    "autoregressive affine": partial(affine, coupling=False),
    "affine coupling": partial(affine, coupling=True),
    "native autoregressive": partial(spline, coupling=False, native=True),
    "native coupling": partial(spline, coupling=True, native=True),
    "multiscale spline": partial(multiscale, bins=5),
    "multiscale affine": partial(multiscale, transform="affine"),
}


def is_buildable(name, kind):
    if "multiscale" in name:
        return EVENTS[kind]["kind"] == "image"
    if "autoregressive" in name and EVENTS[kind]["kind"] == "image":
        return False  # a draw takes a pass per pixel, its Jacobian as many again
    return "native" not in name or EVENTS[kind]["support"] == "box"


over_all = pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in TRANSPORTS for kind in EVENTS if is_buildable(name, kind)]
)


def build(name, kind, dtype=torch.float64):
    """A transport that is nowhere at its symmetric start, and 32 base points within 4 standard deviations."""
    torch.manual_seed(0)
    transport = TRANSPORTS[name](EVENTS[kind]).to(dtype)
    with torch.no_grad():
        for parameter in transport.parameters():
            parameter.add_((0.02 if transport.dimension > 2 else 0.1) * torch.randn_like(parameter))
    return transport, torch.randn(32, transport.dimension, dtype=dtype).clamp(-4, 4)


@over_all
def test_to_base_inverts_from_base_and_log_determinants_are_opposite(name, kind):
    """In double precision; on a box 1 - x is a difference, so that its logit carries rounding of 1e-16 / (1 - x)."""
    transport, base = build(name, kind)
    assert isinstance(transport, Transport)
    samples, log_det = transport.from_base(base)
    assert samples.shape == (32, *EVENTS[kind]["shape"])
    again, inverse_log_det = transport.to_base(samples)
    torch.testing.assert_close(again, base, rtol=0, atol=1e-10)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=0, atol=1e-9)


@pytest.mark.long
@over_all
def test_log_determinants_are_those_of_autograds_jacobian(name, kind):
    transport, base = build(name, kind)
    base = base[: 5 if transport.dimension < 10 else 1]
    samples, log_det = (value.detach() for value in transport.from_base(base))
    inverse_log_det = transport.to_base(samples)[1]
    for index in range(len(base)):
        for function, point, found in (
            (transport.from_base, base, log_det),
            (transport.to_base, samples, inverse_log_det),
        ):
            one = point[index : index + 1]
            jacobian = torch.autograd.functional.jacobian(lambda at, call=function: call(at)[0].flatten(), one)
            expected = torch.linalg.slogdet(jacobian.view(transport.dimension, -1)).logabsdet
            torch.testing.assert_close(found[index], expected, rtol=0, atol=1e-8)


@over_all
def test_density_is_the_bases_plus_the_log_determinant(name, kind):
    transport, base = build(name, kind)
    samples, log_det = transport.from_base(base)
    base_log_prob = torch.distributions.Normal(0, 1).log_prob(base).sum(-1)
    torch.testing.assert_close(transport.log_prob(samples), base_log_prob - log_det, rtol=0, atol=1e-9)
    for method in ("sample", "rsample"):
        torch.manual_seed(1)
        noise = torch.randn(32, transport.dimension, dtype=base.dtype)
        torch.manual_seed(1)
        drawn, log_q = getattr(transport, method)(32)
        expected, log_det = transport.from_base(noise)
        assert torch.equal(drawn, expected)
        torch.testing.assert_close(log_q, torch.distributions.Normal(0, 1).log_prob(noise).sum(-1) - log_det)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["native autoregressive", "native coupling"])
def test_a_native_spline_is_finite_at_the_edges_and_far_out(name, dtype):
    """Noise of 9 standard deviations lands on an edge in both precisions; the density there is that of the uniform
    base.
    """
    transport = build(name, "box", dtype)[0]
    far = torch.tensor([[9.0, -9.0], [-9.0, 0.3], [0.0, 0.0]], dtype=dtype)
    samples, log_det = transport.from_base(far)
    again, inverse_log_det = transport.to_base(samples)
    for value in (samples, log_det, again, inverse_log_det):
        assert torch.isfinite(value).all()
    edges = torch.tensor([[LOW, HIGH], [HIGH, 0.5]], dtype=dtype, requires_grad=True)
    log_q = transport.log_prob(edges)
    spline_log_det = transport.flow().call_and_ladj((edges - (LOW + HIGH) / 2) / ((HIGH - LOW) / 2))[1]
    torch.testing.assert_close(log_q, spline_log_det - 2 * math.log(HIGH - LOW), rtol=0, atol=2e-5)
    log_q.sum().backward()
    assert torch.isfinite(edges.grad).all()
