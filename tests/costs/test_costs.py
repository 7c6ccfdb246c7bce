"""What every cost must do; a new kind is covered by a line in COSTS."""

import copy
import math
from functools import partial

import pytest
import torch

from lightning_irl.costs import AutoencoderCost, ConvCost, Cost, MLPCost, QuadraticCost, TiltedCost
from lightning_irl.networks import mlp
from lightning_irl.samplers import BroadSampler, FlowSampler, GaussianMixtureSampler, GaussianSampler, GeneratorSampler
from lightning_irl.spaces.event import make_event

LOCATION, SCALE = [1.0, -2.0], [0.5, 3.0]
EVENTS = {
    "point": make_event("point", [2], location=LOCATION, scale=SCALE),
    "box": make_event("point", [2], support="box", low=-1, high=3, location=LOCATION, scale=SCALE),
    "image": make_event("image", [1, 1, 2], location=LOCATION, scale=SCALE),
    "digits": make_event("image", [1, 8, 8], location=[0.3], scale=[0.4]),
    "digits on a box": make_event("image", [1, 8, 8], support="box", location=[0.3], scale=[0.4]),
    "odd sides": make_event("image", [3, 5, 7], location=[0.3], scale=[0.4]),
}
narrow = partial(ConvCost, widths=[8])
spectral = partial(ConvCost, widths=[8], spectral=True)
autoencoder = partial(AutoencoderCost, code=3, widths=[6])
tilted = partial(TiltedCost, cost=partial(MLPCost, anchor=False))
COSTS = [
    (MLPCost, "point"),
    (MLPCost, "box"),
    (MLPCost, "digits"),
    (narrow, "image"),
    (spectral, "image"),
    (ConvCost, "digits"),
    (partial(ConvCost, spectral=True), "digits on a box"),
    (partial(ConvCost, logits=True), "digits on a box"),
    (partial(ConvCost, widths=[4, 6, 6]), "odd sides"),
    (QuadraticCost, "point"),
    (QuadraticCost, "digits"),
    (tilted, "point"),
    (tilted, "box"),
    (partial(TiltedCost, cost=ConvCost), "digits on a box"),
    (partial(MLPCost, spectral=True), "point"),
    (autoencoder, "point"),
    (autoencoder, "box"),
    (autoencoder, "image"),
    (AutoencoderCost, "digits"),
    (AutoencoderCost, "digits on a box"),
    (partial(AutoencoderCost, widths=[4, 6, 6]), "odd sides"),
]
PLANE = [entry for entry in COSTS if entry[1] in ("point", "image")]  # two coordinates on an unbounded event


def name_of(value):
    if isinstance(value, partial):
        return "-".join([value.func.__name__, *value.keywords])
    return getattr(value, "__name__", value if isinstance(value, str) else None)


def over(entries):
    return pytest.mark.parametrize(("factory", "kind"), entries, ids=name_of)


def build(factory, kind, dtype=torch.float64, spread=0.3):
    """A cost that is nowhere at its symmetric start."""
    cost = factory(EVENTS[kind])
    cost.start_from(GaussianSampler(EVENTS[kind]))
    cost = cost.to(dtype).eval()  # eval: spectral norm's power iteration stands still
    with torch.no_grad():
        for parameter in cost.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return cost


def points(kind, num=7, dtype=torch.float64):
    event = EVENTS[kind]
    unit = torch.rand(num, *event["shape"], dtype=dtype)
    return event["low"] + (event["high"] - event["low"]) * unit if event["support"] == "box" else 4 * unit - 2


@over(COSTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_finite_scalar_each_in_the_samples_precision(factory, kind, dtype):
    cost = build(factory, kind, dtype)
    values = cost(points(kind, dtype=dtype))
    assert isinstance(cost, Cost)
    assert values.shape == (7,)
    assert values.dtype == dtype
    assert torch.isfinite(values).all()
    assert values.std() > 0


@over(COSTS)
def test_single_precision_agrees_with_double(factory, kind):
    cost = build(factory, kind)
    samples = points(kind)
    torch.testing.assert_close(
        copy.deepcopy(cost).float()(samples.float()).double(), cost(samples), rtol=2e-4, atol=2e-4
    )


@over(COSTS)
def test_a_samples_cost_does_not_depend_on_the_others(factory, kind):
    cost = build(factory, kind)
    samples = points(kind)
    alone = torch.cat([cost(sample[None]) for sample in samples])
    torch.testing.assert_close(cost(samples), alone, rtol=1e-11, atol=1e-11)
    one = samples[:1].clone().requires_grad_()
    others = samples[1:].clone().requires_grad_()
    cost(torch.cat([one, others]))[0].backward()
    assert (one.grad != 0).any()
    assert (others.grad == 0).all()


@over(COSTS)
def test_gradient_reaches_every_parameter(factory, kind):
    cost = build(factory, kind)
    (cost(points(kind)).square()).mean().backward()
    for name, parameter in cost.named_parameters():
        if name.startswith("reference."):
            assert parameter.grad is None, name
            continue
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


@over(COSTS)
def test_save_and_load(factory, kind, tmp_path):
    cost, other = build(factory, kind), build(factory, kind)
    samples = points(kind)
    assert not torch.allclose(other(samples), cost(samples))
    torch.save(cost.state_dict(), tmp_path / "cost.pt")
    other.load_state_dict(torch.load(tmp_path / "cost.pt", weights_only=True))
    torch.testing.assert_close(other(samples), cost(samples), rtol=0, atol=0)


@over(COSTS)
def test_nothing_is_made_on_another_device(factory, kind):
    """A tensor made without saying where lands on ``meta`` here, as it would on the CPU beside a GPU."""
    cost, samples = build(factory, kind), points(kind)
    with torch.device("meta"):
        values = cost(samples)
        values.sum().backward()
    assert values.device.type == "cpu"


def grid_log_z(cost, half_width, num):
    """log Z by the trapezoid rule, to ``half_width`` times the data's scale; spectrally exact for what decays at both
    ends.
    """
    axis = torch.linspace(-half_width, half_width, num, dtype=torch.float64)
    x = LOCATION[0] + SCALE[0] * axis[:, None].expand(num, num)
    y = LOCATION[1] + SCALE[1] * axis[None, :].expand(num, num)
    grid = torch.stack([x, y], -1).reshape(-1, *cost.shape)
    cell = math.log(SCALE[0] * SCALE[1]) + 2 * math.log(float(axis[1] - axis[0]))
    with torch.no_grad():
        return torch.cat([-cost(part) for part in grid.split(20_000)]).logsumexp(0) + cell


@over(PLANE)
def test_integrable_on_an_unbounded_event(factory, kind):
    cost = build(factory, kind)
    small, large = grid_log_z(cost, 12, 121), grid_log_z(cost, 24, 241)
    assert torch.isfinite(small)
    torch.testing.assert_close(large, small, rtol=0, atol=1e-6)


def test_the_anchor_is_what_makes_it_integrable():
    cost = build(partial(MLPCost, anchor=False), "point")
    assert grid_log_z(cost, 24, 121) - grid_log_z(cost, 12, 121) > 0.1
    anchored = MLPCost(EVENTS["point"]).double()
    anchored.load_state_dict(cost.state_dict())
    samples = points("point")
    standard = (samples - torch.tensor(LOCATION)) / torch.tensor(SCALE)
    torch.testing.assert_close(anchored(samples) - cost(samples), standard.square().sum(-1) / 2)


def test_the_box_has_no_anchor():
    cost = MLPCost(EVENTS["box"]).double()
    for parameter in cost.parameters():
        torch.nn.init.zeros_(parameter)
    assert (cost(points("box")) == 0).all()


def test_quadratic_log_z_on_a_grid_and_in_closed_form():
    cost = build(QuadraticCost, "point")
    root = cost.off_diagonal.tril(-1) + torch.diag(cost.log_diagonal.exp())
    closed = math.log(2 * math.pi) - torch.linalg.slogdet(root @ root.T)[1] / 2 - cost.constant
    torch.testing.assert_close(cost.log_z(), closed, rtol=0, atol=1e-12)
    torch.testing.assert_close(cost.log_z(), grid_log_z(cost, 24, 481), rtol=0, atol=1e-9)


def test_quadratic_is_a_gaussian_with_precision_root_root_transposed():
    cost = build(QuadraticCost, "digits")
    root = cost.off_diagonal.tril(-1) + torch.diag(cost.log_diagonal.exp())
    gaussian = torch.distributions.MultivariateNormal(cost.mean, precision_matrix=root @ root.T)
    samples = points("digits")
    expected = gaussian.log_prob(samples.flatten(1))
    torch.testing.assert_close(-cost(samples) - cost.log_z(), expected, rtol=1e-8, atol=1e-6)


@pytest.mark.parametrize(
    ("factory", "layers"), [(partial(ConvCost, widths=[8, 8]), 7), (partial(MLPCost, hidden=[8, 8]), 3)], ids=name_of
)
def test_spectral_norm_bounds_every_layer(factory, layers):
    cost = factory(EVENTS["digits"], spectral=True)
    for _ in range(50):
        cost(points("digits", dtype=torch.float32))  # in training mode each forward is a step of the power iteration
    weights = [module.weight.flatten(1) for module in cost.modules() if hasattr(module, "parametrizations")]
    assert len(weights) == layers
    for weight in weights:
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.02)


def test_a_tilted_cost_is_its_tilt_less_the_references_log_density():
    sampler = BroadSampler(EVENTS["point"], width=2.0).double()
    cost = tilted(EVENTS["point"]).double()
    cost.start_from(sampler)
    samples = points("point")
    torch.testing.assert_close(cost(samples), cost.tilt(samples) - sampler.log_prob(samples))


def test_a_tilted_cost_keeps_a_copy_of_its_own():
    """It stays as it is while the sampler goes on learning, and its dropout stays off."""
    sampler = FlowSampler(EVENTS["point"], transforms=1, dropout=0.5).double()
    cost = tilted(EVENTS["point"]).double()
    cost.start_from(sampler)
    cost.train()
    samples = points("point")
    before = cost(samples)
    torch.testing.assert_close(cost(samples), before, rtol=0, atol=0)
    with torch.no_grad():
        for parameter in sampler.parameters():
            parameter.add_(1.0)
    torch.testing.assert_close(cost(samples), before, rtol=0, atol=0)
    assert all(not parameter.requires_grad for parameter in cost.reference.parameters())
    assert all(parameter.requires_grad for parameter in sampler.parameters())


def test_a_tilted_cost_needs_a_density():
    with pytest.raises(ValueError, match="sampler GeneratorSampler has none: use a flow"):
        tilted(EVENTS["point"]).start_from(GeneratorSampler(EVENTS["point"]))


@pytest.mark.parametrize("kind", ["point", "digits on a box"])
def test_an_autoencoders_cost_is_half_the_squared_error_in_standard_coordinates(kind):
    cost = build(AutoencoderCost, kind)
    samples, scale = points(kind), torch.tensor(EVENTS[kind]["scale"])
    assert (cost.encode(samples).abs() <= 1).all()
    reconstruction = cost.decode(cost.encode(samples)) * scale + torch.tensor(EVENTS[kind]["location"])
    expected = (((samples.flatten(1) - reconstruction) / scale) ** 2).sum(-1) / 2
    torch.testing.assert_close(cost(samples), expected)
    assert (cost(samples) > 0).all()


def test_an_autoencoders_cost_grows_like_an_anchor_far_away():
    """Its code is bounded and so is what it is decoded to: c over |x|^2 / 2 tends to 1 in every direction, in standard
    coordinates.
    """
    cost = build(AutoencoderCost, "point", spread=1.0)
    far = 1e6 * torch.nn.functional.normalize(torch.randn(50, 2, dtype=torch.float64), dim=-1)
    samples = torch.tensor(LOCATION) + torch.tensor(SCALE) * far
    torch.testing.assert_close(cost(samples) / (1e12 / 2), torch.ones(50, dtype=torch.float64), rtol=0, atol=1e-3)


def test_dropout_is_for_training_alone():
    cost = ConvCost(EVENTS["digits"], dropout=0.5)
    samples = points("digits", dtype=torch.float32)
    assert not torch.equal(cost(samples), cost(samples))
    cost.eval()
    assert torch.equal(cost(samples), cost(samples))


def test_halving_ends_at_one_pixel():
    assert ConvCost(EVENTS["digits"], widths=[2, 2, 2, 2])(points("digits", dtype=torch.float32)).shape == (7,)


@pytest.mark.parametrize(
    ("factory", "kind", "words"),
    [
        (ConvCost, "point", ["ConvCost", "[C, H, W]", "[2]", "MLPCost"]),
        (partial(ConvCost, widths=[4] * 5), "digits", ["halves images 4 times", "8x8", "fewer widths"]),
        (partial(ConvCost, logits=True), "digits", ["logits", "real", "logits=false", "transform=scale"]),
        (
            partial(AutoencoderCost, widths=[4] * 5),
            "digits",
            ["AutoencoderCost", "halve images 4 times", "fewer widths"],
        ),
        (QuadraticCost, "box", ["QuadraticCost", "box", "MLPCost"]),
    ],
)
def test_refusals_say_what_to_do(factory, kind, words):
    with pytest.raises(ValueError) as caught:
        factory(EVENTS[kind])
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("factory", [MLPCost, ConvCost, QuadraticCost])
def test_a_wrong_event_is_refused(factory):
    with pytest.raises(ValueError, match=r"event scale has a value <= 0"):
        factory(EVENTS["digits"] | {"scale": [0.0]})


def test_mlp_ends_with_a_linear_layer():
    layers = mlp([3, 5, 1])
    assert [type(layer).__name__ for layer in layers] == ["Linear", "SiLU", "Linear"]


def test_a_bounded_tilt_keeps_importance_weights_bounded():
    event = EVENTS["digits on a box"]
    sampler = GaussianSampler(event)
    cost = TiltedCost(event, partial(MLPCost, hidden=[8]), bound=2.0)
    cost.start_from(sampler)
    with torch.no_grad():
        cost.tilt.network[-1].weight.mul_(1e3)
        samples, log_q = sampler.sample(200)
        log_weights = -cost(samples) - log_q
        torch.testing.assert_close(cost.relative(samples, cost.reference, log_q), cost(samples), atol=1e-3, rtol=1e-5)
    assert log_weights.abs().max() <= 2.0 + 1e-3  # single precision, log q of 64 coordinates
    assert log_weights.std() > 0.5
    with pytest.raises(ValueError, match="bound is 0"):
        TiltedCost(event, MLPCost, bound=0.0)


@pytest.mark.long
@over([*COSTS, (partial(TiltedCost, cost=narrow), "odd sides")])
def test_exported_with_any_batch_size(factory, kind):
    cost = build(factory, kind)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(cost, (points(kind),), dynamic_shapes=({0: batch},)).module()
    other = points(kind, 3)
    torch.testing.assert_close(exported(other), cost(other))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["point", "box"])
@pytest.mark.parametrize(
    "sampler", [BroadSampler, GaussianMixtureSampler, partial(FlowSampler, transforms=1, hidden=[4])], ids=name_of
)
def test_a_tilt_of_any_density_is_exported_with_any_batch_size(sampler, kind):
    cost = tilted(EVENTS[kind])
    cost.start_from(sampler(EVENTS[kind]))
    batch = torch.export.Dim("batch", min=2)
    given = points(kind, dtype=torch.float32)
    exported = torch.export.export(cost.eval(), (given,), dynamic_shapes=({0: batch},)).module()
    torch.testing.assert_close(exported(given[:3]), cost(given[:3]))
