"""What every sampler must do; a new kind is covered by a line in SAMPLERS."""

import math
from functools import partial

import pytest
import torch
from scipy.stats import chi2

from lightning_irl.costs import QuadraticCost
from lightning_irl.samplers import (
    AutoregressiveSampler,
    BroadSampler,
    ConvGenerator,
    DefensiveSampler,
    FlowSampler,
    GaussianMixtureSampler,
    GaussianSampler,
    GeneratorSampler,
    MultiscaleFlow,
    Sampler,
)
from lightning_irl.samplers.gaussian import matched_log_prob
from lightning_irl.spaces.event import make_event

LOCATION, SCALE = [1.0, -2.0], [0.5, 3.0]
LOW, HIGH = -1.0, 3.0
EVENTS = {
    "line": make_event("point", [1], location=LOCATION[:1], scale=SCALE[:1]),
    "interval": make_event("point", [1], support="box", low=LOW, high=HIGH),
    "plane": make_event("point", [2], location=LOCATION, scale=SCALE),
    "box": make_event("point", [2], support="box", low=LOW, high=HIGH, location=[0.5, 2.0], scale=[0.8, 0.5]),
    "digits": make_event("image", [1, 8, 8], support="box", location=[0.3], scale=[0.4]),
    "levels": make_event("image", [2, 3, 2], support="box", low=LOW, high=HIGH, base_measure="counting", levels=3),
}
small = {"transforms": 2, "hidden": [8]}
mixture = partial(GaussianMixtureSampler, components=3)
spline, affine = partial(FlowSampler, bins=5, **small), partial(FlowSampler, transform="affine", **small)
autoregressive = partial(AutoregressiveSampler, features=6, blocks=2)
SAMPLERS = {
    "broad": BroadSampler,
    "gaussian": GaussianSampler,
    "mixture": mixture,
    "spline": partial(spline, coupling=False),
    "spline coupling": partial(spline, coupling=True),
    "affine": partial(affine, coupling=False),
    "affine coupling": partial(affine, coupling=True),
    "native spline": partial(spline, coupling=False, native=True),
    "native coupling": partial(spline, coupling=True, native=True),
    "defensive spline": partial(DefensiveSampler, sampler=spline, share=0.2),
    "defensive mixture": partial(DefensiveSampler, sampler=mixture, share=0.2),
    "multiscale": partial(MultiscaleFlow, steps=[2, 2], hidden=[8, 8], bins=5),
    "generator": GeneratorSampler,
    "autoregressive": autoregressive,
    "autoregressive logistics": partial(autoregressive, likelihood="logistics", components=2),
    "defensive autoregressive": partial(DefensiveSampler, sampler=autoregressive, share=0.2),
    "conv generator": ConvGenerator,
}
DENSE = [name for name in SAMPLERS if "generator" not in name]
LEARNING = [name for name in DENSE if name != "broad"]


def over(names, *kinds):
    pairs = [(name, kind) for name in names for kind in kinds if is_buildable(name, kind)]
    return pytest.mark.parametrize(("name", "kind"), pairs)


def is_buildable(name, kind):
    if kind == "levels" or "autoregressive" in name:
        return kind == "levels" and ("autoregressive" in name or name == "broad")
    if name in ("multiscale", "conv generator"):
        return EVENTS[kind]["kind"] == "image"
    return "native" not in name or EVENTS[kind]["support"] == "box"


def build(name, kind, dtype=torch.float64, seed=0):
    """A sampler that is nowhere at its symmetric start. A flow's network has a random start, so that little need be
    added.
    """
    torch.manual_seed(seed)
    sampler = SAMPLERS[name](EVENTS[kind]).to(dtype)
    is_flow = any("flow" in parameter_name for parameter_name, _ in sampler.named_parameters())
    spread = 0.02 if kind == "digits" else 0.1 if is_flow and sampler.dimension > 1 else 0.3
    with torch.no_grad():
        for parameter in sampler.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return sampler


@pytest.mark.long
@over(SAMPLERS, "line", "interval", "plane", "box", "digits", "levels")
@pytest.mark.parametrize(
    ("method", "dtype"), [("sample", torch.float32), ("sample", torch.float64), ("rsample", torch.float64)]
)
def test_draws_come_with_their_own_density(name, kind, method, dtype):
    sampler = build(name, kind, dtype)
    assert isinstance(sampler, Sampler)
    if method == "rsample" and not sampler.has_rsample:
        with pytest.raises(NotImplementedError, match="no differentiable draws"):
            sampler.rsample(64)
        return
    samples, log_q = getattr(sampler, method)(64)
    assert samples.shape == (64, *EVENTS[kind]["shape"])
    assert samples.dtype == dtype
    assert torch.isfinite(samples).all()
    if EVENTS[kind]["support"] == "box":
        assert ((samples >= EVENTS[kind]["low"]) & (samples <= EVENTS[kind]["high"])).all()
    if not sampler.has_density:
        assert log_q is None
        return
    assert log_q.shape == (64,)
    assert log_q.dtype == dtype
    # an inverse in single precision carries rounding of 1e-6 a coordinate, times the slope of the transform
    tolerance = 1e-9 if dtype == torch.float64 else 2e-3 * max(1, sampler.dimension / 4)
    torch.testing.assert_close(sampler.log_prob(samples), log_q, rtol=0, atol=tolerance)


@pytest.mark.long
@over(SAMPLERS, "plane", "box", "digits", "levels")
def test_flags_and_gradients_say_the_truth(name, kind):
    sampler = build(name, kind)
    samples, log_q = sampler.sample(5)
    assert not samples.requires_grad
    assert log_q is None or not log_q.requires_grad
    if sampler.has_density:
        assert sampler.log_prob(samples).requires_grad == any(True for _ in sampler.parameters())
    else:
        with pytest.raises(NotImplementedError, match=f"{type(sampler).__name__} has no density"):
            sampler.log_prob(samples)
    parameters = dict(sampler.named_parameters())
    assert sampler.has_rsample == ("autoregressive" not in name)
    if sampler.has_rsample:
        samples, log_q = sampler.rsample(64)
        assert samples.requires_grad == bool(parameters)
    else:
        samples = sampler.sample(64)[0]
        log_q = sampler.log_prob(samples)
    if not parameters:
        return
    (samples.square().sum() + (0 if log_q is None else log_q.sum())).backward()
    for parameter_name, parameter in parameters.items():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert (parameter.grad != 0).any(), parameter_name


def test_a_sampler_without_differentiable_draws_says_so():
    class Counter(Sampler):
        def sample(self, num_samples):
            return torch.zeros(num_samples, 2), None

    with pytest.raises(NotImplementedError, match="Counter has no differentiable draws; use a score-function learner"):
        Counter(EVENTS["plane"]).rsample(3)


@pytest.mark.long
@over(SAMPLERS, "plane", "digits", "levels")
def test_seeds_reproduce(name, kind):
    sampler = build(name, kind)

    def draw(seed, method):
        torch.manual_seed(seed)
        return getattr(sampler, method)(16)[0].detach()

    assert torch.equal(draw(1, "sample"), draw(1, "sample"))
    if sampler.has_rsample:
        assert torch.equal(draw(1, "sample"), draw(1, "rsample"))
    assert not torch.allclose(draw(1, "sample"), draw(2, "sample"))


@over(SAMPLERS, "plane", "box", "digits", "levels")
def test_save_and_load(name, kind, tmp_path):
    def draw(sampler):
        torch.manual_seed(3)
        return sampler.sample(16)[0]

    first, second = build(name, kind), build(name, kind, seed=1)
    torch.save(first.state_dict(), tmp_path / "sampler.pt")
    second.load_state_dict(torch.load(tmp_path / "sampler.pt", weights_only=True))
    assert torch.equal(draw(first), draw(second))
    if first.has_density:
        samples = draw(first)
        assert torch.equal(first.log_prob(samples), second.log_prob(samples))


@pytest.mark.long
@over(SAMPLERS, "plane", "box", "digits", "levels")
def test_nothing_is_made_on_another_device(name, kind):
    """A tensor made without saying where lands on ``meta`` here, as it would on the CPU beside a GPU."""
    sampler = build(name, kind)
    with torch.device("meta"):
        draws = [sampler.sample(8), sampler.rsample(8) if sampler.has_rsample else sampler.sample(8)]
        values = [value for draw in draws for value in draw if value is not None]
        if sampler.has_density:
            values.append(sampler.log_prob(draws[0][0]))
        if any(value.requires_grad for value in values):
            sum(value.sum() for value in values).backward()
    assert {value.device.type for value in values} == {"cpu"}


# ---- density and draws, by quadrature


class Cells:
    """A grid of ``coarse`` cells a coordinate, each of ``fine`` midpoints.

    On a box the grid is even where the density does not vanish at the edges, and even in the logit, with its Jacobian,
    where it does.
    """

    def __init__(self, name, kind, fine=None, coarse=16):
        event = EVENTS[kind]
        dimension = event["shape"][0]
        fine = fine or (500 if dimension == 1 else 20)
        self.in_logits = event["support"] == "box" and "native" not in name and name != "broad"
        self.on_box = event["support"] == "box"
        # 16 logits hold all but 3e-7 of a uniform density; 8 scales of the data all but 1e-8 of what is drawn here
        reach = 16.0 if self.in_logits else 0.5 if self.on_box else 8.0
        edges = torch.linspace(-reach, reach, coarse + 1, dtype=torch.float64)
        width = 2 * reach / (coarse * fine)
        nodes = torch.arange(coarse * fine, dtype=torch.float64) * width - reach + width / 2
        self.edges = [self._place(edges, axis)[0] for axis in range(dimension)]
        axes = [self._place(nodes, axis) for axis in range(dimension)]
        mesh = torch.meshgrid(*(place for place, _ in axes), indexing="ij")
        weight = torch.meshgrid(*(slope * width for _, slope in axes), indexing="ij")
        self.points = torch.stack(mesh, -1).reshape(-1, dimension)
        self.weights = torch.stack(weight, -1).prod(-1).flatten()
        self.shape = (coarse, fine) * dimension
        self.coarse = coarse

    def _place(self, free, axis):
        if self.on_box and not self.in_logits:
            return (LOW + HIGH) / 2 + (HIGH - LOW) * free, torch.full_like(free, HIGH - LOW)
        if self.on_box:
            unit = torch.sigmoid(free)
            return LOW + (HIGH - LOW) * unit, (HIGH - LOW) * unit * torch.sigmoid(-free)
        return LOCATION[axis] + SCALE[axis] * free, torch.full_like(free, SCALE[axis])

    def density(self, sampler):
        with torch.no_grad():
            return torch.cat([sampler.log_prob(part) for part in self.points.split(30_000)]).exp() * self.weights

    def probabilities(self, sampler):
        every_second = tuple(range(1, len(self.shape), 2))
        return self.density(sampler).view(self.shape).sum(every_second)

    def counts(self, samples):
        index = 0
        for axis, edges in enumerate(self.edges):
            index = index * self.coarse + torch.bucketize(samples[:, axis].contiguous(), edges[1:-1])
        return torch.bincount(index, minlength=self.coarse ** len(self.edges))


@over(DENSE, "line", "interval", "plane", "box")
def test_density_integrates_to_one(name, kind):
    """The tolerance is the quadrature's: a spline's density has kinks, what is smooth is exact to rounding."""
    total = Cells(name, kind).density(build(name, kind)).sum().item()
    assert total == pytest.approx(1, abs=2e-3 if "spline" in name else 1e-5)


@pytest.mark.long
@over(DENSE, "line", "interval", "plane", "box")
def test_draws_follow_the_density(name, kind):
    """Pearson's chi-square over the cells of a grid; exceeded by chance with probability 1e-4 at a fixed seed."""
    num = 40_000
    sampler, cells = build(name, kind), Cells(name, kind, coarse=12)
    expected = num * cells.probabilities(sampler).flatten()
    counts = cells.counts(sampler.sample(num)[0])
    is_large = expected >= 5
    expected = torch.cat([expected[is_large], expected[~is_large].sum()[None].clamp(min=1.0)])
    counts = torch.cat([counts[is_large], counts[~is_large].sum()[None]])
    assert len(expected) > 4
    statistic = ((counts - expected).square() / expected).sum().item()
    assert statistic < chi2.ppf(1 - 1e-4, len(expected) - 1)


@over(SAMPLERS, "digits")
def test_images_on_a_box_are_distinct_and_vary_in_every_pixel(name, kind):
    samples = build(name, kind, torch.float32).sample(64)[0].flatten(1)
    assert (samples.std(0) > 1e-3).all()
    assert len(samples.unique(dim=0)) == 64


# ---- the gradient of E_q[c + log q]


def skewed_cost(samples):
    """A bent valley with a ripple, in coordinates of the data's scale; no symmetry."""
    first = (samples[:, 0] - LOCATION[0]) / SCALE[0]
    second = (samples[:, 1] - LOCATION[1]) / SCALE[1]
    return 0.3 * (second - 0.2 * first.square() + 0.5).square() + 0.2 * first + torch.sin(1.3 * first + 0.4 * second)


def quadrature_gradient(sampler, cells, objective):
    """Gradient of sum q f dx in every parameter, f the objective of (points, log q)."""
    parameters = list(sampler.parameters())
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for points, weights in zip(cells.points.split(60_000), cells.weights.split(60_000), strict=True):
        log_q = sampler.log_prob(points)
        value = (objective(points, log_q) * log_q.exp() * weights).sum()
        total = [sofar + part for sofar, part in zip(total, torch.autograd.grad(value, parameters), strict=True)]
    return total


PATHWISE = [(name, "plane") for name in LEARNING if is_buildable(name, "plane")]
PATHWISE += [
    (name, "box") for name in ("gaussian", "mixture", "spline", "affine", "native spline", "defensive mixture")
]


@pytest.mark.long
@pytest.mark.parametrize(("name", "kind"), PATHWISE)
def test_pathwise_gradient_equals_quadratures(name, kind):
    """E_q[c + log q] through ``rsample``, the mean of 40 batches of 1,000 draws, entry by entry against autograd
    through sum q (c + log q) dx on a grid: within 5 standard errors, estimated from the batches, which a sampler of 300
    parameters exceeds by chance with probability 4e-3 (Student's t, 39 degrees of freedom) at a fixed seed. Beside it
    twice the change of the quadrature when its step is halved, which is small where the density has no kinks."""
    sampler = build(name, kind)

    def objective(samples, log_q):
        return skewed_cost(samples) + log_q

    names, parameters = zip(*sampler.named_parameters(), strict=True)
    expected = quadrature_gradient(sampler, Cells(name, kind, fine=24), objective)
    coarser = quadrature_gradient(sampler, Cells(name, kind, fine=12), objective)
    gradients = [torch.autograd.grad(objective(*sampler.rsample(1000)).mean(), parameters) for _ in range(40)]
    for parameter_name, want, rough, *batches in zip(names, expected, coarser, *gradients, strict=True):
        stacked = torch.stack(batches)
        error = stacked.std(0) / math.sqrt(len(stacked))
        step = 2 * (want - rough).abs().max()
        assert ((stacked.mean(0) - want).abs() <= 5 * error + step).all(), parameter_name
        if parameter_name.split(".")[-1] != "weight":  # some weights have next to no gradient
            assert (want.abs() > 5 * error + step).any(), f"a missing gradient of {parameter_name} would not be seen"


@over(["mixture"], "plane", "box")
def test_mixture_weights_get_the_gradient_of_the_weights(name, kind):
    """d E_q[f] / d w_k along the softmax, with f free of parameters: nothing but the implicit part of the draws carries
    it.
    """
    sampler = build(name, kind)
    cells = Cells(name, kind, fine=20)
    expected = quadrature_gradient(sampler, cells, lambda points, log_q: skewed_cost(points) + 0 * log_q)[0]
    batches = torch.stack(
        [torch.autograd.grad(skewed_cost(sampler.rsample(1600)[0]).mean(), sampler.logits)[0] for _ in range(50)]
    )
    error = batches.std(0) / math.sqrt(50)
    assert ((batches.mean(0) - expected).abs() <= 5 * error).all()
    assert (expected.abs() / error).max() > 8


def test_implicit_draws_equal_the_drawn_ones():
    sampler = build("mixture", "digits", torch.float32)
    torch.manual_seed(1)
    drawn = sampler.sample(32)
    torch.manual_seed(1)
    differentiable = sampler.rsample(32)
    for left, right in zip(drawn, differentiable, strict=True):
        torch.testing.assert_close(left, right.detach(), rtol=0, atol=0)


# ---- what is particular to a kind


def test_gaussian_is_a_gaussian():
    sampler = build("gaussian", "plane")
    gaussian = torch.distributions.MultivariateNormal(sampler.mean, scale_tril=sampler.root())
    samples = torch.randn(9, 2, dtype=torch.float64)
    torch.testing.assert_close(sampler.log_prob(samples), gaussian.log_prob(samples))


def test_gaussian_starts_at_the_data():
    sampler = GaussianSampler(EVENTS["plane"], width=2.0).double()
    gaussian = torch.distributions.Normal(torch.tensor(LOCATION).double(), 2 * torch.tensor(SCALE).double())
    samples = torch.randn(9, 2, dtype=torch.float64)
    torch.testing.assert_close(sampler.log_prob(samples), gaussian.log_prob(samples).sum(-1), rtol=1e-6, atol=1e-6)


def test_matched_density_has_the_samples_moments():
    samples = build("gaussian", "plane").sample(4000)[0]
    log_prob = matched_log_prob(EVENTS["plane"], samples)
    covariance = samples.T.cov(correction=0)
    covariance = covariance + 0.1 * 2 / 4000 * covariance.trace() / 2 * torch.eye(2)
    gaussian = torch.distributions.MultivariateNormal(samples.mean(0), covariance)
    torch.testing.assert_close(log_prob(samples), gaussian.log_prob(samples), atol=1e-9, rtol=0)


@pytest.mark.parametrize("num", [1, 3, 64, 500])
def test_matched_density_is_finite_however_few_the_samples(num):
    samples = torch.rand(num, 1, 8, 8)
    assert torch.isfinite(matched_log_prob(EVENTS["digits"], samples)(samples)).all()


def test_defensive_density_is_the_mixture_and_bounded_by_the_broad_part():
    sampler = build("defensive mixture", "plane")
    samples = 5 * torch.randn(50, 2, dtype=torch.float64)
    learned, broad = sampler.learned.log_prob(samples).exp(), sampler.broad.log_prob(samples).exp()
    torch.testing.assert_close(sampler.log_prob(samples).exp(), 0.8 * learned + 0.2 * broad)
    assert (sampler.log_prob(samples) >= sampler.broad.log_prob(samples) + math.log(0.2) - 1e-9).all()


@pytest.mark.long
@pytest.mark.parametrize("method", ["sample", "rsample"])
def test_every_draw_of_a_defensive_mixture_is_broad_as_often_as_the_share(method):
    """Whichever place it has in the batch: half a batch, or one draw, is then a draw of q too. 4 standard errors."""
    sampler = DefensiveSampler(EVENTS["plane"], GaussianSampler, share=0.3).double()
    with torch.no_grad():
        sampler.learned.mean.fill_(100.0)
    rounds = 2000
    draws = torch.stack([getattr(sampler, method)(7)[0].detach() for _ in range(rounds)])
    is_broad = (draws[..., 0] < 50).double()
    assert (is_broad.mean(0) - 0.3).abs().max() < 4 * math.sqrt(0.3 * 0.7 / rounds)
    assert set(is_broad.sum(1).tolist()) == {2.0, 3.0}  # 7 * 0.3 = 2.1, up to one


def test_defensive_refuses():
    with pytest.raises(ValueError, match=r"share is 1\.0; it must be strictly between 0 and 1"):
        DefensiveSampler(EVENTS["plane"], GaussianSampler, share=1.0)
    with pytest.raises(ValueError, match="needs a density, GeneratorSampler has none; use a flow"):
        DefensiveSampler(EVENTS["plane"], GeneratorSampler)


def test_broad_is_uniform_on_a_box_and_nothing_outside():
    sampler = BroadSampler(EVENTS["box"])
    assert sampler.log_prob(torch.tensor([[0.0, 2.9]])).item() == pytest.approx(-2 * math.log(HIGH - LOW))
    assert sampler.log_prob(torch.tensor([[0.0, 3.1]])).item() == -math.inf


def test_flow_refuses_an_unknown_transform():
    with pytest.raises(ValueError, match="transform is 'planar'; allowed: spline, affine"):
        FlowSampler(EVENTS["plane"], transform="planar")


def test_flow_couples_from_five_dimensions_up():
    kinds = {
        size: type(FlowSampler(make_event("point", [size]), transforms=1).flow.transforms[0]).__name__
        for size in (2, 4, 5, 9)
    }
    assert [("Coupling" in kind) for kind in kinds.values()] == [False, False, True, True]


def test_coupling_transforms_every_coordinate_and_halves_images_three_ways():
    flow = FlowSampler(EVENTS["digits"], transforms=6, hidden=[4]).flow
    masks = torch.stack([layer.mask for layer in flow.transforms]).view(6, 8, 8)
    assert all(mask.sum() == 32 for mask in masks)
    assert all((first != second).all() for first, second in masks.view(3, 2, 8, 8))
    assert len(masks.flatten(1).unique(dim=0)) == 6


def test_flow_starts_near_the_data():
    """Standardised draws of a fresh flow have about the data's location and scale; a single coordinate's parameters are
    bare.
    """
    for kind in ("line", "plane"):
        torch.manual_seed(0)
        samples = FlowSampler(EVENTS[kind]).sample(4000)[0]
        size = samples.shape[1]
        standard = (samples - torch.tensor(LOCATION[:size])) / torch.tensor(SCALE[:size])
        assert standard.mean(0).abs().max() < 1
        assert (standard.std(0).log().abs() < math.log(2)).all()


def test_a_flow_on_a_box_starts_inside_it_wherever_the_event_says_the_data_is():
    for location in (LOW, HIGH, HIGH + 5):
        event = make_event("point", [2], support="box", low=LOW, high=HIGH, location=[location])
        assert (FlowSampler(event).sample(500)[0].std(0) > 0.02 * (HIGH - LOW)).all()


def test_flow_dropout_is_for_training_alone():
    sampler = FlowSampler(EVENTS["plane"], dropout=0.5)
    samples = torch.zeros(5, 2)
    assert not torch.equal(sampler.log_prob(samples), sampler.log_prob(samples))
    sampler.eval()
    assert torch.equal(sampler.log_prob(samples), sampler.log_prob(samples))


@pytest.mark.parametrize(("kind", "transform"), [("plane", "spline"), ("box", "affine")])
def test_flow_refuses_a_native_box_where_there_is_none(kind, transform):
    with pytest.raises(ValueError, match="native=true splines a box"):
        FlowSampler(EVENTS[kind], transform=transform, native=True)


def test_a_native_spline_reaches_the_edges_of_its_box_and_stays_inside():
    samples = FlowSampler(EVENTS["box"], native=True, **small).sample(20_000)[0]
    assert samples.min() >= LOW
    assert samples.max() <= HIGH
    assert samples.min() < LOW + 0.02
    assert samples.max() > HIGH - 0.02


def test_samplers_of_one_event_fit_the_quadratic_model():
    """A Gaussian sampler set to a quadratic cost's model has exactly its density."""
    cost, sampler = QuadraticCost(EVENTS["plane"]).double(), GaussianSampler(EVENTS["plane"]).double()
    with torch.no_grad():
        cost.off_diagonal.copy_(torch.tensor([[0.0, 0.0], [0.4, 0.0]]))
        root = cost.off_diagonal.tril(-1) + torch.diag(cost.log_diagonal.exp())
        tril = torch.linalg.cholesky(torch.linalg.inv(root @ root.T))
        sampler.log_diagonal.copy_(tril.diagonal().log())
        sampler.off_diagonal.copy_(tril.tril(-1))
    samples = sampler.sample(20)[0]
    torch.testing.assert_close(sampler.log_prob(samples), -cost(samples) - cost.log_z())
