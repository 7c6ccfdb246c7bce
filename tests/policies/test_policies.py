"""What every policy must do; a new kind is covered by a line in POLICIES."""

import math
from functools import partial

import pytest
import torch

from lightning_irl.event import make_trajectory_event
from lightning_irl.learners.score_function import score_function_loss
from lightning_irl.policies import (
    CategoricalPolicy,
    ClippedGaussianPolicy,
    GaussianPolicy,
    TanhGaussianPolicy,
    UniformPolicy,
)

HORIZON = 5
bounds = {"action_low": [-2.0], "action_high": [1.0]}
plane = {"action_low": [-2.0, 0.0], "action_high": [1.0, 0.5]}
EVENTS = {
    "discrete": make_trajectory_event(HORIZON, [3], num_actions=4),
    "free": make_trajectory_event(HORIZON, [3], action_shape=[1]),
    "clipped": make_trajectory_event(HORIZON, [3], action_shape=[1], **bounds),
    "clipped plane": make_trajectory_event(HORIZON, [3], action_shape=[2], **plane),
    "open": make_trajectory_event(HORIZON, [3], action_shape=[1], base_measure="lebesgue", **bounds),
    "open plane": make_trajectory_event(HORIZON, [3], action_shape=[2], base_measure="lebesgue", **plane),
}
seeing = partial(GaussianPolicy, std_sees_observation=True)
POLICIES = [
    (CategoricalPolicy, "discrete"),
    (partial(CategoricalPolicy, sees_time=True), "discrete"),
    (GaussianPolicy, "free"),
    (seeing, "free"),
    (GaussianPolicy, "open"),
    (ClippedGaussianPolicy, "clipped"),
    (ClippedGaussianPolicy, "clipped plane"),
    (TanhGaussianPolicy, "open"),
    (TanhGaussianPolicy, "open plane"),
    (UniformPolicy, "discrete"),
    (UniformPolicy, "open plane"),
]
LEARNING = [entry for entry in POLICIES if entry[0] is not UniformPolicy]


def name_of(value):
    if isinstance(value, partial):
        return "-".join([value.func.__name__, *value.keywords])
    return getattr(value, "__name__", value if isinstance(value, str) else None)


def over(entries):
    return pytest.mark.parametrize(("factory", "kind"), entries, ids=name_of)


def build(factory, kind, spread=0.3):
    policy = factory(EVENTS[kind]).double()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return policy


def ask(num):
    """Observations and times, the same for all."""
    return torch.tensor([0.3, -1.0, 0.5]).double().expand(num, 3), torch.full((num,), 2)


def actions_and_masses(policy, event, points=4000):
    """Actions that cover the space, with the base measure's mass of each; atoms included."""
    if event["num_actions"]:
        return torch.arange(event["num_actions"]), torch.ones(event["num_actions"]).double()
    axes = []
    for index in range(event["action_shape"][0]):
        low, high = (event["action_low"] or [-40.0] * 2)[index], (event["action_high"] or [40.0] * 2)[index]
        number = points if event["action_shape"] == [1] else 400
        if policy.__class__ is GaussianPolicy:  # not held by bounds
            low, high = -40.0, 40.0
        middle = low + (high - low) * (torch.arange(number).double() + 0.5) / number
        mass = torch.full((number,), (high - low) / number).double()
        if event["base_measure"] == "clipped":
            middle = torch.cat([torch.tensor([low, high]).double(), middle])
            mass = torch.cat([torch.ones(2).double(), mass])
        axes.append((middle, mass))
    grids = torch.meshgrid(*[axis[0] for axis in axes], indexing="ij")
    masses = torch.meshgrid(*[axis[1] for axis in axes], indexing="ij")
    return torch.stack(grids, -1).flatten(0, -2), torch.stack(masses, -1).flatten(0, -2).prod(-1)


@over(POLICIES)
def test_all_its_mass_is_one(factory, kind):
    policy = build(factory, kind)
    actions, masses = actions_and_masses(policy, EVENTS[kind])
    total = (policy.log_prob(*ask(len(actions))[:1], actions, ask(len(actions))[1]).exp() * masses).sum()
    assert total.item() == pytest.approx(1, abs=2e-3 if "plane" in kind else 1e-5)


@over(POLICIES)
def test_draws_come_with_their_density_and_inside_the_space(factory, kind):
    policy, event = build(factory, kind), EVENTS[kind]
    action, log_pi = policy.sample(*ask(500))
    assert action.shape == (500, *event["action_shape"])
    assert not log_pi.requires_grad
    assert torch.allclose(policy.log_prob(ask(500)[0], action, ask(500)[1]), log_pi, atol=1e-7)
    assert policy.mode(*ask(3)).shape == (3, *event["action_shape"])
    if event["base_measure"] == "clipped":
        low, high = torch.tensor(event["action_low"]), torch.tensor(event["action_high"])
        assert ((action >= low) & (action <= high)).all()


@over(LEARNING)
def test_draws_follow_the_density(factory, kind):
    num = 20_000
    policy = build(factory, kind)
    actions, masses = actions_and_masses(policy, EVENTS[kind])
    observation, time = ask(len(actions))
    probabilities = policy.log_prob(observation, actions, time).exp() * masses
    drawn = policy.sample(*ask(num))[0].double().reshape(num, -1)
    flat = actions.double().reshape(len(actions), -1)
    for power in (1, 2):
        for index in range(flat.shape[1]):
            value = flat[:, index] ** power
            mean = (probabilities * value).sum()
            spread = ((probabilities * value**2).sum() - mean**2).sqrt()
            error = (drawn[:, index] ** power).mean() - mean
            assert abs(error) < 4.5 * spread / math.sqrt(num) + 2e-3 * spread


def test_the_atoms_of_a_clipped_gaussian_hold_what_its_tails_hold():
    policy = build(ClippedGaussianPolicy, "clipped")
    drawn = policy.sample(*ask(20_000))[0]
    observation, time = ask(1)
    for bound in (-2.0, 1.0):
        probability = policy.log_prob(observation, torch.tensor([[bound]]).double(), time).exp().item()
        share = (drawn == bound).double().mean().item()
        assert 0.01 < probability < 0.9
        assert abs(share - probability) < 4.5 * math.sqrt(probability * (1 - probability) / 20_000)


@over([entry for entry in LEARNING if "plane" not in entry[1]])
def test_the_gradient_of_cost_and_entropy_is_quadratures(factory, kind):
    policy = build(factory, kind)
    parameters = [p for p in policy.parameters() if p.requires_grad]

    def cost(action):
        return (action.double().reshape(len(action), -1) ** 2).sum(-1)

    actions, masses = actions_and_masses(policy, EVENTS[kind])
    observation, time = ask(len(actions))
    log_pi = policy.log_prob(observation, actions, time)
    truth = (log_pi.exp() * masses * (cost(actions) + torch.where(masses * log_pi.exp() > 0, log_pi, 0.0))).sum()
    reference = torch.cat([g.flatten() for g in torch.autograd.grad(truth, parameters)])

    def estimate():
        observation, time = ask(4000)
        if policy.has_rsample:
            action, log_q = policy.rsample(observation, time)
            return (cost(action) + log_q).mean()
        action, _ = policy.sample(observation, time)
        log_q = policy.log_prob(observation, action, time)
        return score_function_loss(cost(action) + log_q, log_q)

    found = torch.stack(
        [torch.cat([g.flatten() for g in torch.autograd.grad(estimate(), parameters)]) for _ in range(30)]
    )
    error = (found.mean(0) - reference).norm()
    expected = (found.var(0).sum() / len(found)).sqrt()  # of the mean's distance
    assert error < 3 * expected + 1e-4 * reference.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [-50.0, 50.0])
def test_far_tails_are_finite_with_finite_gradients(dtype, far):
    policy = ClippedGaussianPolicy(EVENTS["clipped"], initial_std=1.0).to(dtype)
    with torch.no_grad():
        policy.network[-1].bias.fill_(far)
    observation, time = ask(3)
    action = torch.tensor([[-2.0], [0.3], [1.0]], dtype=dtype)
    log_pi = policy.log_prob(observation.to(dtype), action, time)
    log_pi.sum().backward()
    assert torch.isfinite(log_pi).all()
    assert all(torch.isfinite(p.grad).all() for p in policy.parameters())
    beyond = log_pi[0] if far > 0 else log_pi[2]
    assert -1400 < beyond < -1200  # log of the normal tail at 49 to 51 standard deviations


def test_tanh_is_torchs_transformed_distribution():
    policy = build(TanhGaussianPolicy, "open")
    observation, time = ask(7)
    mean, log_std = policy.moments(observation, time)
    parts = [torch.distributions.TanhTransform(), torch.distributions.AffineTransform(-0.5, 1.5)]
    reference = torch.distributions.TransformedDistribution(torch.distributions.Normal(mean, log_std.exp()), parts)
    action = torch.linspace(-1.9, 0.9, 7).double()[:, None]
    assert torch.allclose(policy.log_prob(observation, action, time), reference.log_prob(action).squeeze(-1))


@over(POLICIES)
def test_tensors_follow_their_inputs(factory, kind):
    policy = factory(EVENTS[kind]).double().to("meta")
    observation, time = (
        torch.zeros(4, 3, dtype=torch.float64, device="meta"),
        torch.zeros(4, dtype=torch.long, device="meta"),
    )
    action, log_pi = policy.sample(observation, time)
    scored = policy.log_prob(observation, action, time)
    assert {action.device.type, log_pi.device.type, scored.device.type} == {"meta"}


@over(LEARNING)
def test_state_survives_saving(factory, kind, tmp_path):
    first, second = build(factory, kind), build(factory, kind)
    torch.save(first.state_dict(), tmp_path / "policy.pt")
    second.load_state_dict(torch.load(tmp_path / "policy.pt", weights_only=True))
    action = first.sample(*ask(5))[0]
    assert torch.equal(second.log_prob(ask(5)[0], action, ask(5)[1]), first.log_prob(ask(5)[0], action, ask(5)[1]))


def test_time_and_own_networks_reach_the_distribution():
    sees = build(partial(CategoricalPolicy, sees_time=True), "discrete")
    log_pi = sees.log_prob(ask(2)[0], torch.zeros(2).long(), torch.tensor([0, 4]))
    assert log_pi[0] != log_pi[1]
    own = CategoricalPolicy(EVENTS["discrete"], network=lambda inputs, outputs: torch.nn.Linear(inputs, outputs))
    assert isinstance(own.network, torch.nn.Linear)


@pytest.mark.parametrize(
    ("factory", "kind", "words"),
    [
        (GaussianPolicy, "discrete", "base measure lebesgue"),
        (CategoricalPolicy, "clipped", "counting"),
        (ClippedGaussianPolicy, "free", "clipped"),
        (TanhGaussianPolicy, "clipped", "lebesgue"),
        (TanhGaussianPolicy, "free", "bounds"),
        (UniformPolicy, "free", "bounds"),
        (partial(GaussianPolicy, initial_std=0.0), "free", "initial_std"),
    ],
    ids=name_of,
)
def test_what_does_not_fit_is_refused(factory, kind, words):
    with pytest.raises(ValueError, match=words):
        factory(EVENTS[kind])
