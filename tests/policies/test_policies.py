"""What every policy must do; a new kind is covered by a line in POLICIES."""

import math
from functools import partial

import pytest
import torch
from scipy.special import log_ndtr
from scipy.stats import chi2

from lightning_irl.environments import Pendulum
from lightning_irl.learners.score_function import score_function_loss
from lightning_irl.policies import (
    CategoricalPolicy,
    ClippedGaussianPolicy,
    GaussianPolicy,
    Policy,
    TabularPolicy,
    TanhGaussianPolicy,
    TimeVaryingLinearGaussianPolicy,
    UniformPolicy,
)
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_event, make_trajectory_event

HORIZON = 5
make = partial(make_trajectory_event, HORIZON, [3], observation_location=[0.5, -1.0, 2.0], observation_scale=[2.0])
bounds = {"action_low": [-2.0], "action_high": [1.0]}
plane = {"action_low": [-2.0, 0.0], "action_high": [1.0, 0.5]}
EVENTS = {
    "discrete": make(num_actions=4),
    "free": make(action_shape=[1]),
    "free plane": make(action_shape=[2]),
    "clipped": make(action_shape=[1], **bounds),
    "clipped plane": make(action_shape=[2], **plane),
    "open": make(action_shape=[1], base_measure="lebesgue", **bounds),
    "open plane": make(action_shape=[2], base_measure="lebesgue", **plane),
    "absorbing": make(action_shape=[1], base_measure="lebesgue", absorbing=True, **bounds),
    "image": make_trajectory_event(HORIZON, [1, 4, 4], num_actions=4),
    "points": make_event("point", [2]),
}
small = {"hidden": (8,)}
categorical, gaussian = partial(CategoricalPolicy, **small), partial(GaussianPolicy, **small)
clipped, tanh = partial(ClippedGaussianPolicy, **small), partial(TanhGaussianPolicy, **small)
POLICIES = {
    "categorical": (categorical, "discrete"),
    "categorical in time": (partial(categorical, sees_time=True), "discrete"),
    "categorical of images": (categorical, "image"),
    "tabular": (TabularPolicy, "discrete"),
    "tabular, stationary": (partial(TabularPolicy, sees_time=False), "discrete"),
    "gaussian": (gaussian, "free"),
    "gaussian of states": (partial(gaussian, std_sees_observation=True), "free"),
    "gaussian in the plane": (gaussian, "free plane"),
    "gaussian beyond bounds": (gaussian, "open"),
    "linear": (TimeVaryingLinearGaussianPolicy, "free"),
    "linear in the plane": (TimeVaryingLinearGaussianPolicy, "free plane"),
    "clipped": (clipped, "clipped"),
    "clipped of states": (partial(clipped, std_sees_observation=True), "clipped"),
    "clipped in the plane": (clipped, "clipped plane"),
    "tanh": (tanh, "open"),
    "tanh in the plane": (tanh, "open plane"),
    "tanh of states": (partial(tanh, std_sees_observation=True, sees_time=True), "absorbing"),
    "uniform over classes": (UniformPolicy, "discrete"),
    "uniform in the plane": (UniformPolicy, "open plane"),
}
LEARNING = [name for name in POLICIES if "uniform" not in name]
PATHWISE = [name for name in LEARNING if "categorical" not in name and "tabular" not in name]


def over(names):
    return pytest.mark.parametrize("name", names)


def build(name, dtype=torch.float64, seed=0, spread=0.3):
    """A policy that is nowhere at its symmetric start."""
    torch.manual_seed(seed)
    factory, kind = POLICIES[name]
    policy = factory(EVENTS[kind]).to(dtype)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return policy


def ask(policy, num, dtype=torch.float64):
    """An observation and a time, the same for all."""
    shape = policy.observation_shape
    observation = torch.linspace(-1, 1.3, math.prod(shape)).to(dtype).reshape(shape).expand(num, *shape)
    return observation, torch.full((num,), 2)


class Axis:
    """A coordinate of the action: nodes with the base measure's mass of each, atoms first where there are."""

    def __init__(self, event, index, is_bounded, points):
        low, high = (event["action_low"][index], event["action_high"][index]) if is_bounded else (-12.0, 12.0)
        self.bounds = torch.tensor([low, high], dtype=torch.float64) if event["base_measure"] == "clipped" else None
        width = (high - low) / points
        self.inside = low + width * (torch.arange(points, dtype=torch.float64) + 0.5)
        self.width = width
        atoms = [] if self.bounds is None else [self.bounds]
        self.nodes = torch.cat([*atoms, self.inside])
        self.masses = torch.cat([torch.ones(2 * len(atoms), dtype=torch.float64), torch.full((points,), width)])

    def label(self, marginal, cells=10):
        """Cells of about equal probability inside, one for each atom: labels of the nodes, and a function for those of
        draws.
        """
        atoms = len(self.nodes) - len(self.inside)
        total = marginal[atoms:].cumsum(0)
        inner = (cells * total / total[-1]).long().clamp(max=cells - 1)
        edges = self.inside[1:][inner.diff() > 0] - self.width / 2
        inner = torch.bucketize(self.inside, edges)

        def of_draws(values):
            labels = torch.bucketize(values.contiguous(), edges)
            if atoms:
                labels = torch.where(values == self.bounds[0], cells, labels)
                labels = torch.where(values == self.bounds[1], cells + 1, labels)
            return labels

        return torch.cat([torch.arange(cells, cells + atoms), inner]), of_draws


class Grid:
    """Actions that cover the space, with the base measure's mass of each."""

    def __init__(self, policy, name, points=None):
        event = EVENTS[POLICIES[name][1]]
        self.axes = []
        if event["num_actions"]:
            self.actions = torch.arange(event["num_actions"])
            self.masses = torch.ones(event["num_actions"], dtype=torch.float64)
            return
        size = event["action_shape"][0]
        points = points or (4000 if size == 1 else 300)
        free = type(policy) in (GaussianPolicy, TimeVaryingLinearGaussianPolicy)
        self.axes = [Axis(event, index, not free, points) for index in range(size)]
        self.actions = torch.cartesian_prod(*(axis.nodes for axis in self.axes)).view(-1, size)
        self.masses = torch.cartesian_prod(*(axis.masses for axis in self.axes)).view(-1, size).prod(-1)

    def probabilities(self, policy):
        observation, time = ask(policy, len(self.actions))
        return policy.log_prob(observation, self.actions, time).exp() * self.masses

    def cells(self, probabilities, drawn):
        """Probability and count of draws in each of some cells."""
        if not self.axes:
            return probabilities, torch.bincount(drawn, minlength=len(probabilities))
        whole = probabilities.view([len(axis.nodes) for axis in self.axes])
        index, counted, number = torch.zeros(1, dtype=torch.long), torch.zeros(len(drawn), dtype=torch.long), 12
        for place, axis in enumerate(self.axes):
            others = [other for other in range(len(self.axes)) if other != place]
            labels, of_draws = axis.label(whole.sum(others) if others else whole)
            index = (index[:, None] * number + labels).flatten()
            counted = counted * number + of_draws(drawn[:, place])
        cells = number ** len(self.axes)
        return torch.zeros(cells).double().index_add(0, index, probabilities), torch.bincount(counted, minlength=cells)


@over(POLICIES)
def test_the_mass_of_all_actions_is_one(name):
    """Atoms included. To rounding where the density is smooth and falls off at both ends; else by the midpoint rule,
    whose error is slope * width^2 / 24, here below 1e-5."""
    policy = build(name)
    total = Grid(policy, name).probabilities(policy).sum().item()
    assert total == pytest.approx(1, abs=1e-5)


@over(POLICIES)
def test_draws_follow_the_density(name):
    """Pearson's chi-square over cells of about equal probability and the atoms; exceeded by chance with probability
    1e-4 at a fixed seed."""
    num = 20_000
    policy = build(name)
    grid = Grid(policy, name)
    with torch.no_grad():
        probabilities, counts = grid.cells(grid.probabilities(policy), policy.sample(*ask(policy, num))[0])
    expected = num * probabilities
    assert counts[expected < 1e-6].sum() == 0
    is_large = expected >= 5
    assert is_large.sum() >= (4 if not grid.axes else 10)
    rest = expected[~is_large].sum().clamp(min=1.0)
    statistic = ((counts - expected).square() / expected)[is_large].sum()
    statistic = statistic + (counts[~is_large].sum() - expected[~is_large].sum()).square() / rest
    assert statistic.item() < chi2.ppf(1 - 1e-4, int(is_large.sum()))


@over(POLICIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["sample", "rsample"])
def test_draws_come_with_their_own_density(name, dtype, method):
    policy = build(name, dtype)
    if method == "rsample" and not policy.has_rsample:
        with pytest.raises(NotImplementedError, match=f"{type(policy).__name__} has no differentiable actions"):
            policy.rsample(*ask(policy, 3, dtype))
        return
    observation, time = ask(policy, 500, dtype)
    action, log_pi = getattr(policy, method)(observation, time)
    event = policy.event
    assert isinstance(policy, Policy)
    assert action.shape == (500, *event["action_shape"])
    assert action.dtype == (torch.long if event["num_actions"] else dtype)
    assert log_pi.shape == (500,)
    assert log_pi.dtype == dtype
    assert torch.isfinite(log_pi).all()
    assert log_pi.requires_grad == (method == "rsample")
    # tanh's inverse magnifies the rounding of an action near a bound
    tolerance = 1e-7 if dtype == torch.float64 else 1e-3 if "tanh" in name else 1e-4
    torch.testing.assert_close(policy.log_prob(observation, action.detach(), time), log_pi, rtol=0, atol=tolerance)
    if event["action_low"] and type(policy) is not GaussianPolicy:
        low, high = torch.tensor(event["action_low"]), torch.tensor(event["action_high"])
        assert ((action >= low) & (action <= high)).all()


@over(POLICIES)
def test_leading_dimensions_are_free(name):
    policy = build(name)
    observation = torch.randn(3, HORIZON, *policy.observation_shape, dtype=torch.float64)
    time = torch.arange(HORIZON).expand(3, HORIZON)
    torch.manual_seed(1)
    action, log_pi = policy.sample(observation, time)
    assert action.shape == (3, HORIZON, *policy.action_shape)
    assert log_pi.shape == (3, HORIZON)
    scored = policy.log_prob(observation, action, time)
    torch.testing.assert_close(scored, log_pi, rtol=0, atol=1e-7)
    alone = [policy.log_prob(observation[1, t][None], action[1, t][None], time[1, t][None]) for t in range(HORIZON)]
    torch.testing.assert_close(scored[1], torch.cat(alone), rtol=1e-9, atol=1e-9)
    assert policy.mode(observation, time).shape == action.shape


@over([name for name in LEARNING if "tanh" not in name])
def test_no_action_is_likelier_than_the_mode(name):
    """Of atom and density, which have no common measure, the mode takes the one that the mean lies in."""
    policy = build(name)
    grid = Grid(policy, name, points=101)
    observation, time = ask(policy, len(grid.actions))
    with torch.no_grad():
        best = policy.log_prob(observation[:1], policy.mode(observation[:1], time[:1]), time[:1])
        others = policy.log_prob(observation, grid.actions, time)
        if "clipped" in name:
            inside = (grid.actions > torch.tensor(policy.event["action_low"])).all(-1)
            inside &= (grid.actions < torch.tensor(policy.event["action_high"])).all(-1)
            others = others[inside]
    assert (others <= best + 1e-12).all()


def skewed_cost(action):
    flat = action.double().reshape(len(action), -1)
    return (0.3 * flat.square() + torch.sin(1.5 * flat + 0.4)).sum(-1) + 0.2 * flat.prod(-1)


@pytest.mark.long
@over(LEARNING)
@pytest.mark.parametrize("way", ["score function", "pathwise"])
def test_gradient_of_cost_and_entropy_equals_quadratures(name, way):
    """E[c + log pi] by 40 batches of 1,000 draws, entry by entry against autograd through the sum over a grid: within 5
    standard errors, estimated from the batches, which a policy of 60 parameters exceeds by chance with probability 8e-4
    (Student's t, 39 degrees of freedom) at a fixed seed."""
    if way == "pathwise" and name not in PATHWISE:
        return
    policy = build(name)
    parameters = list(policy.parameters())
    grid = Grid(policy, name, points=200 if "plane" in name else None)
    observation, time = ask(policy, len(grid.actions))
    log_pi = policy.log_prob(observation, grid.actions, time)
    is_possible = log_pi > -600
    value = skewed_cost(grid.actions) + torch.where(is_possible, log_pi, 0.0)
    expected = torch.autograd.grad((log_pi.exp() * grid.masses * value).sum(), parameters)

    def estimate():
        observation, time = ask(policy, 1000)
        if way == "pathwise":
            action, log_q = policy.rsample(observation, time)
            return (skewed_cost(action) + log_q).mean()
        action, _ = policy.sample(observation, time)
        log_q = policy.log_prob(observation, action, time)
        return score_function_loss(skewed_cost(action) + log_q, log_q)

    batches = [torch.autograd.grad(estimate(), parameters) for _ in range(40)]
    is_seen = False
    for want, *found in zip(expected, *batches, strict=True):
        stacked = torch.stack(found)
        error = stacked.std(0) / math.sqrt(len(stacked))
        assert ((stacked.mean(0) - want).abs() <= 5 * error + 1e-5).all()
        is_seen |= bool((want.abs() > 8 * error + 1e-4).any())
    assert is_seen, "a missing gradient would not be seen"


def test_a_path_that_stops_at_the_bound_needs_the_atoms_jump():
    """What :meth:`rsample` adds to the gradient of log pi is no trifle here, so the test above would miss it."""
    policy = build("clipped")
    mean, log_std = policy.moments(*ask(policy, 1))
    added = torch.autograd.grad(policy._jumps(mean, log_std).sum(), [mean, policy.log_std])
    assert policy._jumps(mean, log_std).item() == 0
    assert all(gradient.abs().item() > 0.05 for gradient in added)


def test_pathwise_gradients_through_an_environment_equal_the_score_functions():
    """Clipped actions in three steps of a pendulum: 60 batches of 500 episodes each way, within 4.5 standard errors of
    the difference."""
    event = make_trajectory_event(3, [3], action_shape=[1], action_low=[-2.0], action_high=[2.0])
    sampler = PolicySampler(event, Pendulum(), partial(ClippedGaussianPolicy, hidden=(4,), initial_std=0.8)).double()
    with torch.no_grad():
        for parameter in sampler.policy.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    assert sampler.has_rsample
    parameters = list(sampler.policy.parameters())

    def objective(trajectory, log_q):
        seen, done = trajectory.observations, trajectory.actions.squeeze(-1)
        return (seen[:, 1:, 2] - 0.7).square().sum(1) + 0.5 * (done - 0.5).square().sum(1) + log_q

    def pathwise():
        return objective(*sampler.rsample(500)).mean()

    def score():
        trajectory, _ = sampler.sample(500)
        log_q = sampler.log_prob(trajectory)
        return score_function_loss(objective(trajectory, log_q), log_q)

    means, variances = [], []
    for way in (pathwise, score):
        found = torch.stack(
            [torch.cat([g.flatten() for g in torch.autograd.grad(way(), parameters)]) for _ in range(60)]
        )
        means.append(found.mean(0))
        variances.append(found.var(0) / len(found))
    error = (variances[0] + variances[1]).sqrt()
    assert ((means[0] - means[1]).abs() <= 4.5 * error).all()  # equal where a unit is dead
    assert (means[0].abs() > 8 * error).any()
    assert variances[0].sum() < variances[1].sum()


# ---- bounds


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [-50.0, 50.0])
def test_far_tails_are_exact_with_finite_gradients(dtype, far):
    policy = ClippedGaussianPolicy(EVENTS["clipped"], initial_std=1.0).to(dtype)
    with torch.no_grad():
        policy.network[-1].weight.zero_()
        policy.network[-1].bias.fill_(far)
    observation, time = ask(policy, 3, dtype)
    log_pi = policy.log_prob(observation, torch.tensor([[-2.0], [0.3], [1.0]], dtype=dtype), time)
    log_pi.sum().backward()
    assert torch.isfinite(log_pi).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in policy.parameters())
    assert policy.network[-1].bias.grad.abs() > 40  # of the unlikely atom: about the distance in standard deviations
    tails = log_ndtr([-1 - far, far - 1])
    torch.testing.assert_close(log_pi[[0, 2]].double().detach(), torch.tensor(tails), rtol=1e-5, atol=1e-12)


def test_far_paths_are_finite():
    policy = ClippedGaussianPolicy(EVENTS["clipped"], initial_std=1e-3)
    with torch.no_grad():
        policy.network[-1].bias.fill_(40.0)
    action, log_pi = policy.rsample(*ask(policy, 10, torch.float32))
    (action.sum() + log_pi.sum()).backward()
    assert (log_pi == 0).all()  # all mass is in the atom
    assert all(torch.isfinite(parameter.grad).all() for parameter in policy.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("low", "high"), [(-0.3, 1.7), (0.1, 0.7), (100.0, 101.1), (-1e-3, 1e-4), (-7.7, 0.0)])
def test_atoms_are_known_again_whatever_the_bounds_round_to(low, high, dtype):
    event = make_trajectory_event(HORIZON, [3], action_shape=[1], action_low=[low], action_high=[high])
    policy = ClippedGaussianPolicy(event, initial_std=1.5).to(dtype)
    observation, time = ask(policy, 2000, dtype)
    action, log_pi = policy.sample(observation, time)
    torch.testing.assert_close(policy.log_prob(observation, action, time), log_pi, rtol=0, atol=1e-3)
    is_atom = (action == action.min()) | (action == action.max())
    assert 800 < is_atom.sum() < 1200  # P = 2 Phi(-2/3) = 0.505; 2000 P +- 9 standard errors
    stored = torch.tensor([[low], [high], [low - 1], [high + 1]], dtype=dtype)  # as a file has them, or before clipping
    known = policy.log_prob(observation[:4], stored, time[:4])
    tail = math.log(0.5 * math.erfc(2 / 3 / math.sqrt(2)))
    torch.testing.assert_close(known, torch.full_like(known, tail), rtol=0, atol=2e-2)


def test_tanh_is_torchs_transformed_distribution():
    policy = build("tanh")
    observation, time = ask(policy, 7)
    mean, log_std = policy.moments(observation, time)
    parts = [torch.distributions.TanhTransform(), torch.distributions.AffineTransform(-0.5, 1.5)]
    reference = torch.distributions.TransformedDistribution(torch.distributions.Normal(mean, log_std.exp()), parts)
    action = torch.linspace(-1.9, 0.9, 7).double()[:, None]
    assert torch.allclose(policy.log_prob(observation, action, time), reference.log_prob(action).squeeze(-1))


def test_tanh_refuses_demonstrations_on_a_bound_and_counts_them():
    policy = build("tanh in the plane")
    observation, time = ask(policy, 4)
    action = torch.tensor([[-2.0, 0.1], [0.0, 0.1], [0.5, 0.6], [0.5, 0.4]], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"2 of 4 actions lie on a bound or beyond.*base_measure=clipped"):
        policy.log_prob(observation, action, time)


def test_tanh_has_no_density_on_a_bound_and_no_gradient_of_padding_there():
    policy = build("tanh of states")  # absorbing: actions of steps that are masked out hold anything
    observation, time = ask(policy, 2)
    log_pi = policy.log_prob(observation, torch.tensor([[1.0], [0.0]], dtype=torch.float64), time)
    assert log_pi[0] == -math.inf
    torch.where(torch.tensor([False, True]), log_pi, 0.0).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in policy.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_draws_that_saturate_are_scored_as_they_were_drawn(dtype):
    policy = TanhGaussianPolicy(EVENTS["open"], initial_std=3.0).to(dtype)
    with torch.no_grad():
        policy.network[-1].bias.fill_(9.0)
    observation, time = ask(policy, 500, dtype)
    action, log_pi = policy.sample(observation, time)
    assert ((action > -2) & (action < 1)).all()
    # an ulp of the action is up to a quarter of its distance to the bound, so of the draw's size in units of its std
    torch.testing.assert_close(policy.log_prob(observation, action, time), log_pi, rtol=0, atol=0.5)
    assert torch.isfinite(policy.log_prob(observation, policy.mode(observation, time), time)).all()


# ---- tables and linear feedback


def test_a_table_is_a_softmax_of_its_rows():
    policy = build("tabular")
    observation = torch.eye(3, dtype=torch.float64)[[2, 0, 2]]
    time, action = torch.tensor([4, 0, 1]), torch.tensor([3, 0, 1])
    wanted = [policy.logits[t, s].log_softmax(0)[a] for t, s, a in zip(time, [2, 0, 2], action, strict=True)]
    torch.testing.assert_close(policy.log_prob(observation, action, time), torch.stack(wanted))
    stationary = build("tabular, stationary")
    assert stationary.logits.shape == (3, 4)
    torch.testing.assert_close(
        stationary.log_prob(observation, action, time), stationary.logits.log_softmax(-1)[[2, 0, 2], action]
    )


def test_linear_feedback_is_a_multivariate_normal_of_its_own_at_each_step():
    policy = build("linear in the plane")
    observation, action = torch.randn(2, 9, 3, dtype=torch.float64).unbind(0)
    action, time = action[:, :2], torch.arange(9) % HORIZON
    for index, t in enumerate(time):
        mean = policy.gains[t] @ observation[index] + policy.offsets[t]
        normal = torch.distributions.MultivariateNormal(mean, policy.covariances[t])
        found = policy.log_prob(observation, action, time)[index]
        torch.testing.assert_close(found, normal.log_prob(action[index]))
    assert (policy.covariances[0] != policy.covariances[1]).all()


def test_linear_feedback_becomes_a_known_controller():
    policy, known = build("linear in the plane"), build("linear in the plane", seed=1)
    policy.assign(known.gains, known.offsets, known.covariances)
    observation, time = ask(policy, 4)
    action = torch.randn(4, 2, dtype=torch.float64)
    torch.testing.assert_close(policy.log_prob(observation, action, time), known.log_prob(observation, action, time))


# ---- start, state, devices


@over([name for name in LEARNING if "states" not in name])
def test_a_fresh_policy_does_much_the_same_everywhere(name):
    factory, kind = POLICIES[name]
    policy = factory(EVENTS[kind])
    observation = torch.randn(50, *policy.observation_shape)
    time = torch.zeros(50, dtype=torch.long)
    action = policy.mode(observation[:1], time[:1]).expand(50, *policy.action_shape)
    log_pi = policy.log_prob(observation, action, time)
    assert log_pi.max() - log_pi.min() < 0.05


@over([name for name in LEARNING if "states" not in name and "of images" not in name])
def test_a_fresh_policy_favours_nothing(name):
    """Discrete actions alike, continuous ones about the middle of the bounds, or about zero without bounds: within what
    the last layer's small weights leave (1 % of a fresh network's outputs, which are of order 0.3)."""
    factory, kind = POLICIES[name]
    policy, event = factory(EVENTS[kind]), EVENTS[kind]
    observation, time = torch.randn(50, *policy.observation_shape), torch.arange(50) % HORIZON
    if event["num_actions"]:
        for action in range(event["num_actions"]):
            log_pi = policy.log_prob(observation, torch.full((50,), action), time)
            assert (log_pi + math.log(event["num_actions"])).abs().max() < 0.03
        return
    low, high = (torch.tensor(event[f"action_{edge}"] or [sign]) for edge, sign in (("low", -1.0), ("high", 1.0)))
    assert ((policy.mode(observation, time) - (low + high) / 2).abs() < 0.03 * (high - low)).all()


def test_the_standard_deviation_starts_where_it_is_told():
    for name, scale in (("gaussian", 1.0), ("gaussian beyond bounds", 1.5), ("linear", 1.0)):
        factory, kind = POLICIES[name]
        policy = factory(EVENTS[kind], initial_std=0.2)
        action = policy.sample(*ask(policy, 4000, torch.float32))[0]
        assert action.std().item() == pytest.approx(0.2 * scale, rel=4 / math.sqrt(2 * 4000))


@over(LEARNING)
def test_gradient_reaches_every_parameter(name):
    policy = build(name)
    time = torch.arange(HORIZON).repeat(20)
    observation = torch.randn(len(time), *policy.observation_shape, dtype=torch.float64)
    action = policy.sample(observation, time)[0]
    policy.log_prob(observation, action, time).square().sum().backward()
    for parameter_name, parameter in policy.named_parameters():
        assert torch.isfinite(parameter.grad).all(), parameter_name
        if parameter_name == "off_diagonal" and policy.action_size == 1:
            continue  # a single coordinate has no covariances
        assert (parameter.grad != 0).any(), parameter_name


@over(POLICIES)
def test_nothing_is_made_on_another_device(name):
    """A tensor made without saying where lands on ``meta`` here, as it would on the CPU beside a GPU."""
    policy = build(name)
    observation, time = ask(policy, 4)
    with torch.device("meta"):
        action, log_pi = policy.sample(observation, time)
        values = [action, log_pi, policy.log_prob(observation, action, time), policy.mode(observation, time)]
        if policy.has_rsample:
            values += policy.rsample(observation, time)
            values[-1].sum().backward()
    assert {value.device.type for value in values} == {"cpu"}


@over(POLICIES)
def test_nothing_waits_for_a_device(name):
    """On ``meta`` a value that is looked at is an error."""
    policy = build(name).to("meta")
    observation, time = (values.to("meta") for values in ask(policy, 4))
    action, _ = policy.sample(observation, time)
    policy.log_prob(observation, action, time)
    policy.mode(observation, time)


@over(LEARNING)
def test_save_and_load(name, tmp_path):
    first, second = build(name), build(name, seed=1)
    observation, time = ask(first, 5)
    action = first.sample(observation, time)[0]
    wanted = first.log_prob(observation, action, time)
    assert not torch.allclose(second.log_prob(observation, action, time), wanted)
    torch.save(first.state_dict(), tmp_path / "policy.pt")
    second.load_state_dict(torch.load(tmp_path / "policy.pt", weights_only=True))
    assert torch.equal(second.log_prob(observation, action, time), wanted)


def test_seeds_reproduce():
    for name in POLICIES:
        policy = build(name)
        draws = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            draws.append(policy.sample(*ask(policy, 64))[0])
        assert torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[0], draws[2])


def test_time_and_own_networks_reach_the_distribution():
    policy = build("categorical in time")
    log_pi = policy.log_prob(ask(policy, 2)[0], torch.zeros(2).long(), torch.tensor([0, 4]))
    assert log_pi[0] != log_pi[1]

    def convolutions(inputs, outputs):
        layers = torch.nn.Unflatten(-1, (1, 4, 4)), torch.nn.Conv2d(1, 2, 4), torch.nn.Flatten()
        return torch.nn.Sequential(*layers, torch.nn.Linear(2, outputs))

    own = CategoricalPolicy(EVENTS["image"], network=convolutions)
    assert own.sample(torch.zeros(7, 1, 4, 4), torch.zeros(7).long())[0].shape == (7,)


@pytest.mark.parametrize(
    ("factory", "kind", "outputs"),
    [
        (CategoricalPolicy, "discrete", 4),
        (GaussianPolicy, "free plane", 2),
        (partial(GaussianPolicy, std_sees_observation=True), "free plane", 4),
        (ClippedGaussianPolicy, "clipped", 1),
        (TanhGaussianPolicy, "open plane", 2),
    ],
)
def test_a_network_of_ones_own_gets_sizes_and_standardised_features(factory, kind, outputs):
    """And the time's share that is left, from 1 down, as the last of them, when asked to."""
    for sees_time in (False, True):
        asked, seen = [], []

        class Own(torch.nn.Linear):
            def forward(self, features, seen=seen):
                seen.append(features)
                return super().forward(features)

        def network(inputs, outputs, asked=asked, own=Own):
            asked.append((inputs, outputs))
            return own(inputs, outputs)

        policy = factory(EVENTS[kind], network=network, sees_time=sees_time)
        assert asked == [(3 + sees_time, outputs)]
        observation, time = torch.randn(2, HORIZON, 3), torch.arange(HORIZON).expand(2, HORIZON)
        policy.sample(observation, time)
        torch.testing.assert_close(seen[0][..., :3], (observation - torch.tensor([0.5, -1.0, 2.0])) / 2)
        if sees_time:
            torch.testing.assert_close(seen[0][0, :, 3], torch.tensor([1.0, 0.6, 0.2, -0.2, -0.6]))
        assert all(parameter.requires_grad for parameter in policy.network.parameters())
        assert any(name.startswith("network.") for name in policy.state_dict())


def test_uniform_is_a_constant_between_the_bounds_and_nothing_elsewhere():
    policy = UniformPolicy(EVENTS["open plane"]).double()
    observation, time = ask(policy, 5)
    action = torch.tensor([[0.0, 0.1], [-1.9, 0.4], [0.0, 0.6], [1.5, 0.1], [-3.0, -1.0]], dtype=torch.float64)
    found = policy.log_prob(observation, action, time)
    torch.testing.assert_close(found, torch.tensor([-math.log(1.5)] * 2 + [-math.inf] * 3, dtype=torch.float64))
    clipped = UniformPolicy(EVENTS["clipped"]).double()  # atoms have no share of it
    observation, time = ask(clipped, 3)
    on_bounds = torch.tensor([[-2.0], [1.0], [0.0]], dtype=torch.float64)
    assert clipped.log_prob(observation, on_bounds, time).exp().tolist() == pytest.approx([0, 0, 1 / 3])


def test_observations_are_standardised_by_the_events_moments():
    policy = build("categorical")
    moved = make_trajectory_event(HORIZON, [3], num_actions=4)
    plain = categorical(moved).double()
    state = {name: value for name, value in policy.state_dict().items() if name not in ("location", "scale")}
    plain.load_state_dict(state, strict=False)
    observation, time = ask(policy, 1)
    standard = (observation - torch.tensor([0.5, -1.0, 2.0])) / 2
    action = torch.tensor([1])
    torch.testing.assert_close(policy.log_prob(observation, action, time), plain.log_prob(standard, action, time))


@pytest.mark.parametrize(
    ("factory", "kind", "words"),
    [
        (GaussianPolicy, "discrete", "base measure lebesgue, the event's is counting"),
        (CategoricalPolicy, "clipped", "base measure counting, the event's is clipped"),
        (TabularPolicy, "free", "base measure counting, the event's is lebesgue"),
        (TabularPolicy, "image", "one-hot vectors of shape .*CategoricalPolicy"),
        (TimeVaryingLinearGaussianPolicy, "clipped", "base measure lebesgue, the event's is clipped"),
        (ClippedGaussianPolicy, "free", "base measure clipped, the event's is lebesgue"),
        (TanhGaussianPolicy, "clipped", "base measure lebesgue, the event's is clipped"),
        (TanhGaussianPolicy, "free", "needs bounds.*use GaussianPolicy"),
        (UniformPolicy, "free", "needs bounds"),
        (UniformPolicy, "points", "policy UniformPolicy needs an event of trajectories, this one is of kind point"),
        (TabularPolicy, "points", "policy TabularPolicy needs an event of trajectories, this one is of kind point"),
        (CategoricalPolicy, "points", "policy CategoricalPolicy needs an event of trajectories"),
        (GaussianPolicy, "points", "policy GaussianPolicy needs an event of trajectories"),
        (TimeVaryingLinearGaussianPolicy, "points", "needs an event of trajectories, this one is of kind point"),
        (partial(GaussianPolicy, initial_std=0.0), "free", r"initial_std is 0\.0; it must be above 0"),
        (partial(TimeVaryingLinearGaussianPolicy, initial_std=-1.0), "free", r"initial_std is -1\.0"),
    ],
)
def test_what_does_not_fit_is_refused(factory, kind, words):
    with pytest.raises(ValueError, match=words):
        factory(EVENTS[kind])
