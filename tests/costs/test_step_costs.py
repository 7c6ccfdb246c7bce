"""What every cost of a step must do, and their sum along a trajectory; a new kind is covered by a line in COSTS."""

import copy
import math
from functools import partial

import pytest
import torch

from lightning_irl.costs import (
    EnsembleStepCost,
    LinearStepCost,
    MLPStepCost,
    QuadraticStepCost,
    ShapedStepCost,
    StepCost,
    TabularStepCost,
    TrajectoryCost,
)
from lightning_irl.costs.step import ABSORBING_SPEED
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.spaces.trajectory import Trajectory, cut

BATCH, HORIZON = 4, 6
STATES, CLASSES = 3, 4
make = partial(make_trajectory_event, HORIZON, [3], observation_location=[0.5, -1.0, 2.0], observation_scale=[2.0])
EVENTS = {
    "discrete": make(num_actions=CLASSES),
    "absorbing": make(num_actions=CLASSES, absorbing=True),
    "clipped": make(action_shape=[2], action_low=[-2.0, 0.0], action_high=[1.0, 0.5]),
    "free": make(action_shape=[2]),
    "image": make_trajectory_event(HORIZON, [1, 2, 2], action_shape=[2, 1], absorbing=True),
}
mlp = partial(MLPStepCost, hidden=(8,), activation=torch.nn.SiLU)
shaped = partial(ShapedStepCost, cost=mlp, hidden=(8,), activation=torch.nn.SiLU)
COSTS = {
    "mlp": mlp,
    "mlp of states": partial(mlp, inputs="state"),
    "mlp of actions": partial(mlp, inputs="action"),
    "mlp of changes": partial(mlp, inputs="state_next"),
    "mlp of everything": partial(mlp, inputs="state_action_next", sees_time=True),
    "shaped": shaped,
    "shaped states": partial(
        shaped, cost=partial(mlp, inputs="state"), sees_time=True, zero_at_horizon=True, discount=0.9
    ),
    "linear": LinearStepCost,
    "linear in products": partial(LinearStepCost, quadratic=True),
    "quadratic": partial(QuadraticStepCost, hidden=(8,), features=5, log_weight=0.3),
    "affine": partial(QuadraticStepCost, hidden=(), rank=2),
    "ensemble": partial(EnsembleStepCost, cost=mlp, members=3),
    "tabular": TabularStepCost,
    "tabular states": partial(TabularStepCost, inputs="state"),
    "tabular in time": partial(TabularStepCost, inputs="state_action_next", sees_time=True),
}
SEES = {  # where it is not state and action
    "mlp of states": "state",
    "mlp of actions": "action",
    "mlp of changes": "state next",
    "mlp of everything": "state action next time",
    "shaped": "state action next",
    "shaped states": "state next time",
    "tabular states": "state",
    "tabular in time": "state action next time",
}
PAIRS = [
    (name, kind)
    for name in COSTS
    for kind in EVENTS
    if not ("tabular" in name and kind not in ("discrete", "absorbing"))
    and not (name in ("quadratic", "affine") and kind in ("discrete", "absorbing"))
]


def over(pairs):
    return pytest.mark.parametrize(("name", "kind"), pairs)


def build(name, kind, dtype=torch.float64, seed=0, factory=None):
    """A cost that is nowhere at its symmetric start."""
    torch.manual_seed(seed)
    cost = (factory or COSTS[name])(EVENTS[kind]).to(dtype)
    with torch.no_grad():
        for parameter in cost.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return cost


def draw(kind, dtype=torch.float64, batch=BATCH, steps=HORIZON, seed=1):
    """Trajectories; of an absorbing event, the first ends after two steps, the second with its last, the others not."""
    torch.manual_seed(seed)
    event = EVENTS[kind]
    observations = 2 * torch.randn(batch, steps + 1, *event["observation_shape"], dtype=dtype)
    if event["num_actions"]:
        actions = torch.randint(event["num_actions"], (batch, steps))
    else:
        actions = torch.rand(batch, steps, *event["action_shape"], dtype=dtype) / 2
    mask, terminal = torch.ones(batch, steps, dtype=torch.bool), torch.zeros(batch, dtype=torch.bool)
    if event["absorbing"]:
        mask[0, 2:], terminal[:2] = False, True
    return Trajectory(observations, actions, mask, terminal, torch.zeros(batch, dtype=torch.long))


def parts(trajectory):
    return trajectory.observations[:, :-1], trajectory.actions, trajectory.observations[:, 1:], trajectory.time


# ---- every kind


@over(PAIRS)
def test_a_cost_knows_whether_it_sees_actions(name, kind):
    """What does not see them is the same where they are not known: NaN, or -1."""
    cost, whole = build(name, kind), draw(kind)
    other = torch.full_like(whole.actions, -1 if EVENTS[kind]["num_actions"] else torch.nan)
    is_anchored = kind in ("free", "image") and name.startswith(("mlp", "shaped"))
    assert cost.sees_actions == ("action" in SEES.get(name, "state action") or is_anchored)
    if not cost.sees_actions:
        assert torch.equal(cost(*parts(whole)), cost(*parts(whole._replace(actions=other))))


@over(PAIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_finite_scalar_for_each_step_whatever_the_leading_dimensions(name, kind, dtype):
    cost = build(name, kind, dtype)
    whole = draw(kind, dtype)
    values = cost(*parts(whole))
    assert isinstance(cost, StepCost)
    assert values.shape == (BATCH, HORIZON)
    assert values.dtype == dtype
    assert torch.isfinite(values).all()
    assert values.std() > 0
    transitions = cost(*parts(cut(whole, 1)))
    assert transitions.shape == (BATCH * HORIZON, 1)
    flat = cost(*(part.flatten(0, 1) for part in parts(whole)))
    assert flat.shape == (BATCH * HORIZON,)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(transitions.view_as(values), values, **tolerance)
    torch.testing.assert_close(flat.view_as(values), values, **tolerance)


@over(PAIRS)
def test_single_precision_agrees_with_double(name, kind):
    cost, trajectory = build(name, kind), draw(kind)
    single = copy.deepcopy(cost).float()(*(p.float() if p.is_floating_point() else p for p in parts(trajectory)))
    torch.testing.assert_close(single.double(), cost(*parts(trajectory)), rtol=2e-4, atol=2e-4)


@over(PAIRS)
def test_gradient_reaches_every_parameter(name, kind):
    cost = build(name, kind)
    cost(*parts(draw(kind))).square().mean().backward()
    for parameter_name, parameter in cost.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        if name == "shaped" and parameter_name == "network.2.bias":
            continue  # a potential's constant cancels
        assert (parameter.grad != 0).any(), parameter_name


@over(PAIRS)
def test_save_and_load(name, kind, tmp_path):
    cost, other = build(name, kind), build(name, kind, seed=2)
    steps = parts(draw(kind))
    assert not torch.allclose(other(*steps), cost(*steps))
    torch.save(cost.state_dict(), tmp_path / "cost.pt")
    other.load_state_dict(torch.load(tmp_path / "cost.pt", weights_only=True))
    assert torch.equal(other(*steps), cost(*steps))


@over(PAIRS)
def test_nothing_is_made_on_another_device(name, kind):
    """A tensor made without saying where lands on ``meta`` here, as it would on the CPU beside a GPU."""
    cost, steps = build(name, kind), parts(draw(kind))
    with torch.device("meta"):
        values = cost(*steps)
        values.sum().backward()
    assert values.device.type == "cpu"


@over(PAIRS)
def test_nothing_waits_for_a_device(name, kind):
    """On ``meta`` a value that is looked at is an error."""
    build(name, kind).to("meta")(*(part.to("meta") for part in parts(draw(kind))))


@over(PAIRS)
def test_it_depends_on_what_it_sees_and_on_nothing_else(name, kind):
    cost = build(name, kind)
    observation, action, following, time = parts(draw(kind))
    other = parts(draw(kind, seed=2))
    before = cost(observation, action, following, time)
    changed = {
        "state": cost(other[0], action, following, time),
        "action": cost(observation, other[1], following, time),
        "next": cost(observation, action, other[2], time),
        "time": cost(observation, action, following, time.flip(1)),
    }
    sees = {what for what, values in changed.items() if not torch.equal(values, before)}
    expected = set(SEES.get(name, "state action").split())
    if kind in ("free", "image") and name.startswith(("mlp", "shaped")):
        expected.add("action")  # by the anchor of unbounded actions
    assert sees == expected


# ---- the sum along a trajectory


@over(PAIRS)
def test_a_trajectory_costs_the_sum_of_its_segments(name, kind):
    cost = build(name, kind, factory=partial(TrajectoryCost, step_cost=COSTS[name]))
    whole = draw(kind)
    total = cost(whole)
    assert total.shape == (BATCH,)
    for length in (1, 2, 3, 6):
        pieces = cost(cut(whole, length)).view(BATCH, -1)
        assert pieces.shape[1] == HORIZON // length
        torch.testing.assert_close(pieces.sum(1), total, rtol=1e-11, atol=1e-11)


@over([pair for pair in PAIRS if EVENTS[pair[1]]["absorbing"]])
def test_padding_costs_the_absorbing_scalar_and_nothing_else(name, kind):
    cost = build(name, kind, factory=partial(TrajectoryCost, step_cost=COSTS[name]))
    trajectory = draw(kind)
    observations, actions = trajectory.observations.clone(), trajectory.actions.clone()
    observations[0, 3:] = 1e15  # of the step that ended the episode, the observation after it still counts
    actions[0, 2:] = 0 if EVENTS[kind]["num_actions"] else 1e15
    other = trajectory._replace(observations=observations, actions=actions)
    steps = cost.step_costs(other)
    assert torch.equal(steps, cost.step_costs(trajectory))
    torch.testing.assert_close(steps[0, 2:], cost.absorbing_cost.expand(HORIZON - 2), rtol=0, atol=0)
    parameters = list(cost.parameters())
    wanted = torch.autograd.grad(cost(trajectory).square().sum(), parameters)
    found = torch.autograd.grad(cost(other).square().sum(), parameters)
    for left, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_the_absorbing_cost_counts_the_absorbed_steps():
    cost = build("mlp", "absorbing", factory=partial(TrajectoryCost, step_cost=mlp))
    trajectory = draw("absorbing")
    for samples in (trajectory, cut(trajectory, 2), cut(trajectory, 1)):
        (found,) = torch.autograd.grad(cost(samples).sum(), cost.absorbing)
        assert found.item() == ABSORBING_SPEED * (HORIZON - 2)
    cost.absorbing.data.fill_(0.7)
    assert cost.absorbing_cost.item() == pytest.approx(7.0)


def test_living_is_no_reward_in_itself_at_the_start():
    """Constant cost: a step of absorption costs minus the entropy that a step of life can gain."""
    cost = TrajectoryCost(EVENTS["absorbing"], mlp)
    assert cost.absorbing_cost.item() == pytest.approx(-math.log(CLASSES))
    assert TrajectoryCost(EVENTS["image"], mlp).absorbing_cost.item() == 0  # unbounded actions have no largest entropy
    assert not hasattr(TrajectoryCost(EVENTS["discrete"], mlp), "absorbing")


def test_a_trajectory_cost_takes_trajectories():
    with pytest.raises(TypeError, match="TrajectoryCost takes a Trajectory, not Tensor"):
        TrajectoryCost(EVENTS["discrete"], mlp)(torch.zeros(3, 2))


# ---- what is particular to a kind


@pytest.mark.parametrize("sees_time", [False, True])
def test_shaping_telescopes(sees_time):
    factory = partial(shaped, sees_time=sees_time)
    cost = build("shaped", "discrete", factory=factory)
    steps = observation, _, following, time = parts(draw("discrete"))
    shaping = (cost(*steps) - cost.cost(*steps)).sum(1)
    last = cost.potential(following[:, -1], time[:, -1] + 1)
    first = cost.potential(observation[:, 0], time[:, 0])
    torch.testing.assert_close(shaping, last - first)
    assert (shaping.abs() > 0.01).all()


def test_shaping_lowers_the_cost_of_steps_to_better_states():
    """The sign: h is a cost to go, so minus h is the potential of Ng, Harada and Russell and c is
    minus the reward f.
    """
    cost = build("shaped", "discrete", factory=partial(shaped, discount=0.9))
    observation, action, following, time = parts(draw("discrete"))
    reward = -cost.cost(observation, action, following, time)
    value = -cost.potential(observation, time), -cost.potential(following, time + 1)
    f = reward + 0.9 * value[1] - value[0]
    torch.testing.assert_close(cost(observation, action, following, time), -f)
    good = cost.potential(following, time + 1) < cost.potential(following.roll(1, 0), time + 1)
    change = cost(observation, action, following, time) - cost(observation, action, following.roll(1, 0), time)
    inner = cost.cost(observation, action, following, time) - cost.cost(observation, action, following.roll(1, 0), time)
    assert ((change - inner < 0) == good).all()


def test_a_potential_that_ends_at_zero_leaves_minus_the_starts():
    """The same for all policies, so that shaping prefers none."""
    cost = build("shaped", "discrete", factory=partial(shaped, sees_time=True, zero_at_horizon=True))
    steps = observation, _, _, time = parts(draw("discrete"))
    shaping = (cost(*steps) - cost.cost(*steps)).sum(1)
    torch.testing.assert_close(shaping, -cost.potential(observation[:, 0], time[:, 0]))


def test_at_the_optimum_shaped_cost_is_minus_the_soft_advantage():
    """On a chain with a known soft value: exp(-c) is then the soft-optimal policy, and sums to 1 over actions."""
    torch.manual_seed(0)
    event = make_trajectory_event(HORIZON, [STATES], num_actions=CLASSES)
    reward = torch.randn(STATES, CLASSES, dtype=torch.float64)
    moves = torch.randint(STATES, (STATES, CLASSES))
    values = [torch.zeros(STATES, dtype=torch.float64)]
    for _ in range(HORIZON):
        values.append((reward + values[-1][moves]).logsumexp(1))
    values = torch.stack(values[::-1])  # (T + 1, S)

    class Potential(ShapedStepCost):
        def potential(self, observation, time):
            return -values[time, observation.argmax(-1)]

    cost = Potential(event, TabularStepCost).double()
    with torch.no_grad():
        cost.cost.table.copy_(-reward)
    state, action = torch.cartesian_prod(torch.arange(STATES), torch.arange(CLASSES)).unbind(1)
    eye = torch.eye(STATES, dtype=torch.float64)
    for step in range(HORIZON):
        found = cost(eye[state], action, eye[moves[state, action]], torch.full_like(state, step))
        torch.testing.assert_close((-found).exp().view(STATES, CLASSES).sum(1), torch.ones(STATES).double())


def test_linear_costs_gradient_is_the_difference_of_feature_expectations():
    cost = build(
        "linear", "clipped", factory=partial(TrajectoryCost, step_cost=partial(LinearStepCost, quadratic=True))
    )
    demonstrations, draws = draw("clipped"), draw("clipped", seed=3)
    (cost(demonstrations).mean() - cost(draws).mean()).backward()
    features = [cost.step_cost.features(*parts(samples)).sum(1).mean(0) for samples in (demonstrations, draws)]
    torch.testing.assert_close(cost.step_cost.weights.grad, features[0] - features[1])


def test_linear_features_are_standardised_and_their_products_all_there():
    cost = build("linear in products", "clipped")
    steps = parts(draw("clipped"))
    features = cost.features(*steps)
    observation = (steps[0] - torch.tensor([0.5, -1.0, 2.0])) / 2
    action = (steps[1] - torch.tensor([-0.5, 0.25])) / torch.tensor([1.5, 0.25])
    first = torch.cat([observation, action], -1)
    torch.testing.assert_close(features[..., :5], first)
    products = [first[..., i] * first[..., j] for i in range(5) for j in range(i, 5)]
    torch.testing.assert_close(features[..., 5:], torch.stack(products, -1))
    plain = LinearStepCost(EVENTS["discrete"])
    assert plain.weights.shape == (3 + CLASSES,)
    assert (plain(*parts(draw("discrete", torch.float32))) == 0).all()


def test_linear_takes_features_of_ones_own():
    def factory(event):
        assert event is EVENTS["discrete"]
        return lambda observation, action, following, time: torch.stack(
            [observation[..., 0], following[..., 0] - observation[..., 0], (action == 2).to(observation.dtype)], -1
        )

    cost = LinearStepCost(EVENTS["discrete"], factory).double()
    with torch.no_grad():
        cost.weights.copy_(torch.tensor([1.0, -2.0, 5.0]))
    observation, action, following, time = parts(draw("discrete"))
    wanted = observation[..., 0] - 2 * (following - observation)[..., 0] + 5 * (action == 2)
    torch.testing.assert_close(cost(observation, action, following, time), wanted)

    class Learned(torch.nn.Module):
        def __init__(self, event):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(2))

        def forward(self, observation, action, following, time):
            return observation[..., :2] * self.scale

    assert {name for name, _ in LinearStepCost(EVENTS["free"], Learned).named_parameters()} == {"weights", "base.scale"}


@pytest.mark.parametrize("log_weight", [0.0, 0.3])
def test_quadratic_is_equation_two_of_guided_cost_learning(log_weight):
    factory = partial(QuadraticStepCost, hidden=(), rank=2, action_weight=0.7, log_weight=log_weight, log_offset=0.05)
    cost = build("affine", "free", factory=factory)
    observation, action, following, time = parts(draw("free"))
    state = (observation - torch.tensor([0.5, -1.0, 2.0])) / 2
    squared = (state @ cost.affine.weight.T + cost.affine.bias).square().sum(-1)
    wanted = squared + 0.7 * action.square().sum(-1)
    wanted = wanted + log_weight * ((squared + 0.05).log() - math.log(0.05))
    torch.testing.assert_close(cost(observation, action, following, time), wanted)


@pytest.mark.parametrize("name", ["quadratic", "affine"])
def test_quadratic_is_never_below_zero_and_convex_in_the_action(name):
    cost = build(name, "clipped")
    observation, action, following, time = parts(draw("clipped", batch=200))
    values = cost(observation, action, following, time)
    assert (values >= 0).all()
    middle = cost(observation, (action + action.roll(1, 0)) / 2, following, time)
    ends = (values + cost(observation, action.roll(1, 0), following, time)) / 2
    assert (middle <= ends + 1e-12).all()


def test_an_ensemble_is_the_mean_of_members_that_differ():
    cost = COSTS["ensemble"](EVENTS["clipped"])
    steps = parts(draw("clipped", torch.float32))
    values = torch.stack([member(*steps) for member in cost.members])
    assert len(values) == 3
    torch.testing.assert_close(cost(*steps), values.mean(0))
    torch.testing.assert_close(cost.std(*steps), values.std(0))
    assert (cost.std(*steps) > 1e-3).all()


def test_a_table_is_looked_up():
    steps = observation, action, following, time = parts(draw("discrete"))
    states, next_states = observation.argmax(-1), following.argmax(-1)
    wanted = {
        ("state", False): (states,),
        ("state_action", False): (states, action),
        ("state_next", True): (time, states, next_states),
        ("state_action_next", True): (time, states, action, next_states),
        ("action", False): (action,),
    }
    for (inputs, sees_time), index in wanted.items():
        cost = build("tabular", "discrete", factory=partial(TabularStepCost, inputs=inputs, sees_time=sees_time))
        assert torch.equal(cost(*steps), cost.table[index])
    assert cost.table.shape == (CLASSES,)


def test_unbounded_actions_have_a_finite_integral():
    """exp(-c) of a network on all of R: as wide again, the integral stands still; without the anchor it grows. The
    network is steep, with slopes that would let the cost fall."""
    event = make_trajectory_event(HORIZON, [3], action_shape=[1])
    totals = {}
    for anchor in (True, False):
        torch.manual_seed(0)
        cost = MLPStepCost(event, hidden=(8,), anchor=anchor).double()
        with torch.no_grad():
            cost.network[-1].weight.mul_(10)
        for reach in (60.0, 120.0):
            action = torch.linspace(-reach, reach, 20_001, dtype=torch.float64)[:, None]
            here = torch.zeros(len(action), 3, dtype=torch.float64)
            with torch.no_grad():
                values = cost(here, action, here, torch.zeros(len(action), dtype=torch.long))
            totals[anchor, reach] = (-values).logsumexp(0) + math.log(2 * reach / 20_000)
    torch.testing.assert_close(totals[True, 60.0], totals[True, 120.0], rtol=0, atol=1e-4)  # kinks
    assert totals[False, 120.0] - totals[False, 60.0] > 1


@pytest.mark.parametrize("kind", ["discrete", "clipped"])
def test_bounded_and_discrete_actions_need_no_anchor(kind):
    cost = mlp(EVENTS[kind])
    for parameter in cost.parameters():
        torch.nn.init.zeros_(parameter)
    assert (cost(*parts(draw(kind, torch.float32))) == 0).all()


@pytest.mark.parametrize(
    ("factory", "kind", "words"),
    [
        (partial(MLPStepCost, inputs="next"), "discrete", "inputs is 'next'; allowed: state, action, state_action"),
        (partial(TabularStepCost, inputs="next"), "discrete", "inputs is 'next'; allowed"),
        (TabularStepCost, "clipped", "takes discrete actions.*use MLPStepCost"),
        (TabularStepCost, "image", r"\[1, 2, 2\]; use MLPStepCost"),
        (QuadraticStepCost, "discrete", "continuous actions, the event's are discrete; use MLPStepCost"),
        (partial(QuadraticStepCost, action_weight=0.0), "free", "not integrable; set it above 0"),
        (partial(QuadraticStepCost, log_weight=-1.0), "free", r"log_weight -1\.0"),
        (partial(QuadraticStepCost, log_offset=0.0), "free", r"log_offset 0\.0"),
        (partial(shaped, discount=1.5), "discrete", r"discount is 1\.5"),
        (partial(shaped, zero_at_horizon=True), "discrete", "set sees_time=true"),
        (partial(EnsembleStepCost, cost=mlp, members=1), "discrete", "members is 1"),
    ],
)
def test_what_does_not_fit_is_refused(factory, kind, words):
    with pytest.raises(ValueError, match=words):
        factory(EVENTS[kind])


@pytest.mark.parametrize("name", COSTS)
def test_data_of_another_kind_is_refused(name):
    with pytest.raises(ValueError, match="cost of a step, but the data is of kind point"):
        COSTS[name](make_event("point", [2]))


@pytest.mark.long
@over([(name, kind) for name, kind in PAIRS if kind in (("image",) if name == "mlp" else ("absorbing", "clipped"))])
def test_exported_with_any_batch_size(name, kind):
    cost = build(name, kind)
    batch = torch.export.Dim("batch", min=2)
    first, other = ([part[:num, 0] for part in parts(draw(kind))] for num in (BATCH, 3))
    exported = torch.export.export(cost, tuple(first), dynamic_shapes=({0: batch},) * 4).module()
    torch.testing.assert_close(exported(*other), cost(*other))
