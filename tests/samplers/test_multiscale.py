"""What is particular to the multi-scale flow; what every transport and sampler must do is in test_transport and
test_samplers.
"""

import math
from functools import partial

import pytest
import torch

from lightning_irl.samplers import MultiscaleFlow
from lightning_irl.spaces.event import make_event

TINY = {
    "box": make_event("image", [1, 2, 2], support="box", low=-1.0, high=3.0, location=[0.5, 2.0, -0.5, 1.0]),
    "real": make_event("image", [1, 2, 2], location=[1.0, -2.0, 0.0, 3.0], scale=[0.5, 3.0, 1.0, 2.0]),
}
DIGITS = make_event("image", [1, 8, 8], support="box", location=[0.3], scale=[0.4])
small = partial(MultiscaleFlow, steps=[2, 3], hidden=[8, 8], bins=5)
tiny = partial(small, steps=[4], hidden=[8])


def shaken(flow, dtype=torch.float64, spread=0.1):
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return flow.to(dtype)


@pytest.mark.long
@pytest.mark.parametrize("transform", ["spline", "affine"])
@pytest.mark.parametrize("kind", TINY)
def test_density_integrates_to_one(kind, transform):
    """E[q(x) / g(x)] over draws of g, a Student's t of 3 degrees of freedom around the start in free coordinates, whose
    tails hold those of q: within 4 standard errors, each below 0.01 so that a missing factor would be seen."""
    torch.manual_seed(0)
    flow = shaken(tiny(TINY[kind], transform=transform))
    proposal = torch.distributions.StudentT(torch.tensor(3.0, dtype=torch.float64), 0.0, 1.2)
    noise = proposal.sample((100_000, 4))
    samples, log_det = flow.support.constrain(flow.location + flow.scale * noise)
    log_proposal = proposal.log_prob(noise).sum(1) - flow.scale.log().sum() - log_det
    with torch.no_grad():
        weights = (flow.log_prob(samples.view(-1, 1, 2, 2)) - log_proposal).exp()
    error = weights.std() / math.sqrt(len(weights))
    assert error < 0.01
    assert abs(weights.mean() - 1) < 4 * error


@pytest.mark.parametrize("transform", ["spline", "affine"])
def test_single_precision_inverts(transform):
    """Rounding of 6e-8, times the slopes of the couplings and over that of the sigmoid, which is 1
    / 400 at 6 logits.
    """
    torch.manual_seed(0)
    flow = shaken(small(DIGITS, transform=transform), torch.float32, 0.02)
    base = torch.randn(256, 64)
    samples, log_det = flow.from_base(base)
    again, inverse_log_det = flow.to_base(samples)
    assert (again - base).abs().max() < 1e-3
    assert (log_det + inverse_log_det).abs().max() < 1e-2


@pytest.mark.parametrize("transform", ["spline", "affine"])
def test_likelihood_reaches_every_parameter(transform):
    torch.manual_seed(0)
    flow = small(DIGITS, transform=transform)
    flow.log_prob(torch.rand(64, 1, 8, 8)).sum().backward()
    for name, parameter in flow.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.long
@pytest.mark.parametrize("scales", [1, 2, 3])
def test_scales_hand_on_half(scales):
    """Each scale but the last is done with half of what it got, and the last coordinates of the base, which are of the
    coarsest scale, reach every pixel."""
    torch.manual_seed(0)
    flow = shaken(small(DIGITS, steps=[4] * scales, hidden=[8] * scales), spread=0.05)
    base = torch.randn(1, 64, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda at: flow.from_base(at)[0].flatten(), base)[:, 0]
    coarsest = 64 // 2 ** (scales - 1)
    assert math.prod(flow.shapes[-1]) == coarsest
    assert (jacobian[:, -coarsest:].abs().amax(1) > 0).all()


def test_starts_near_the_data():
    """Standardised draws of a fresh flow have about the data's location and scale."""
    torch.manual_seed(0)
    event = make_event("image", [3, 8, 8], location=[2.0], scale=[5.0])
    standard = (MultiscaleFlow(event).sample(500)[0] - 2) / 5
    assert standard.mean(0).abs().max() < 0.6
    assert (standard.std(0).log().abs() < math.log(2)).all()


@pytest.mark.parametrize("location", [-1.0, 3.0, 8.0])
def test_starts_inside_a_box_wherever_the_event_says_the_data_is(location):
    event = make_event("image", [1, 4, 4], support="box", low=-1.0, high=3.0, location=[location])
    assert (MultiscaleFlow(event).sample(500)[0].std(0) > 0.02 * 4).all()


def test_dropout_is_for_training_alone():
    """In evaluation the density is that of the same network without dropout."""
    torch.manual_seed(0)
    flow, plain = (small(DIGITS, dropout=share) for share in (0.5, 0.0))
    plain.load_state_dict(flow.state_dict())
    samples = torch.rand(5, 1, 8, 8)
    assert not torch.equal(flow.log_prob(samples), flow.log_prob(samples))
    flow.eval()
    assert torch.equal(flow.log_prob(samples), plain.log_prob(samples))
    drawn, log_q = flow.sample(64)
    torch.testing.assert_close(flow.log_prob(drawn), log_q, rtol=0, atol=1e-2)


def test_28_allows_two_scales():
    event = make_event("image", [1, 28, 28], support="box")
    assert MultiscaleFlow(event, steps=[1, 1], hidden=[4, 4]).shapes == [(4, 14, 14), (8, 7, 7)]
    with pytest.raises(ValueError, match="has 3 scales for images of 28 x 28; both sides must be divisible by 8"):
        MultiscaleFlow(event, steps=[1, 1, 1], hidden=[4, 4, 4])


@pytest.mark.parametrize(("steps", "hidden"), [([2, 4], [8]), ([2, 0], [8, 8]), ([2, 2], [8, 0]), ([], [])])
def test_steps_and_hidden_are_one_number_per_scale(steps, hidden):
    with pytest.raises(ValueError, match="give each a positive number per scale"):
        MultiscaleFlow(DIGITS, steps=steps, hidden=hidden)


def test_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="transform is 'planar'; allowed: spline, affine"):
        MultiscaleFlow(DIGITS, transform="planar")
    with pytest.raises(ValueError, match="bins is 0; a spline has at least 1 piece"):
        MultiscaleFlow(DIGITS, bins=0)
    with pytest.raises(ValueError, match=r"needs images \[C, H, W\], the event's shape is \[2\]; use FlowSampler"):
        MultiscaleFlow(make_event("point", [2]))
