"""SoftValueIteration leaves the policy of the causal backup of the current cost, under every view."""

from functools import partial

import pytest
import torch

from lightning_irl.costs import MLPStepCost, TabularStepCost, TrajectoryCost
from lightning_irl.dynamic_programming import causal_backup, causal_entropy, expected_cost, soft_value
from lightning_irl.environments import CartPole, GridWorld, RandomMDP
from lightning_irl.learners import PPO, SoftValueIteration
from lightning_irl.policies import CategoricalPolicy, TabularPolicy
from lightning_irl.samplers import GaussianSampler, PolicySampler
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.verification import verify
from lightning_irl.views import EBM, IRL

HORIZON = 5
WORLDS = {"chance": RandomMDP(6, 3, branching=3, seed=0), "certain": GridWorld(2, 3, start=[0, 0])}
worlds = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


def event_of(world):
    return make_trajectory_event(HORIZON, [world.num_states], num_actions=world.num_actions)


TABLE = partial(TabularStepCost, inputs="state_action_next", sees_time=True)


def build(world, view=IRL, step_cost=TABLE, **options):
    """A view in float64 whose cost and policy are nowhere at their symmetric start."""
    options = {"learner": SoftValueIteration, "num_samples": 20, **options}
    sampler = partial(PolicySampler, environment=world, policy=TabularPolicy)
    made = view(event_of(world), partial(TrajectoryCost, step_cost=step_cost), sampler, **options).double()
    with torch.no_grad():
        for parameter in [*made.cost.parameters(), *made.sampler.parameters()]:
            parameter.normal_()
    return made


def table_of(view, world):
    """c (T, S, A, S') of a view's cost, step by step as its own arguments."""
    sizes = HORIZON, world.num_states, world.num_actions, world.num_states
    time, state, action, reached = torch.cartesian_prod(*map(torch.arange, sizes)).unbind(1)
    with torch.no_grad():
        costs = view.cost.step_cost(world.observe(state).double(), action, world.observe(reached).double(), time)
    return costs.view(sizes)


def solve(view):
    samples, _ = view.sampler.sample(4)
    assert view.learner.begin(view.sampler, view.step_objective, samples) == 0
    return view.sampler.policy.logits.detach().log_softmax(-1)


@worlds
@pytest.mark.parametrize(
    "step_cost",
    [
        TABLE,
        partial(TabularStepCost, inputs="state"),
        partial(MLPStepCost, hidden=[8], inputs="state_action_next", sees_time=True),
    ],
    ids=["table in time", "table of states", "network"],
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"entropy_weight": 3.0, "temperature": 2.0},
        {"level": "transition"},
        {"objective": "guided_cost"},
    ],
    ids=["", "temperature", "entropy weight", "transition", "guided cost"],
)
def test_the_policy_is_the_causal_backups_of_the_present_cost(world, step_cost, options):
    view = build(world, step_cost=step_cost, **options)
    temperature = view.temperature * view.entropy_weight
    for _ in range(2):
        found = solve(view)
        expected = causal_backup(world, table_of(view, world), HORIZON, temperature).log_policy
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
        with torch.no_grad():
            for parameter in view.cost.parameters():
                parameter.normal_()


@worlds
def test_the_view_of_densities_only_has_it_too(world):
    view = build(world, EBM)
    expected = causal_backup(world, table_of(view, world), HORIZON).log_policy
    torch.testing.assert_close(solve(view), expected, rtol=0, atol=1e-10)


@worlds
def test_what_it_leaves_behind_attains_the_soft_value(world):
    view = build(world, temperature=0.7)
    policy, costs = solve(view), table_of(view, world) / 0.7
    loss = expected_cost(world, costs, policy) - causal_entropy(world, policy)
    torch.testing.assert_close(-loss, soft_value(world, costs, HORIZON), rtol=0, atol=1e-12)
    # and so the score function, whose loss it has, finds nothing to descend: within 5 standard errors of nothing, and
    # 10 / n for what
    # is too rare for a standard error (a step of probability p is in none of n draws with probability exp(-n p))
    gradients = []
    for _ in range(100):
        loss = view.learner.loss(view.sampler, view.step_objective, 100)
        gradients.append(torch.autograd.grad(loss, view.sampler.policy.logits)[0])
    gradients = torch.stack(gradients)
    assert (gradients.mean(0).abs() <= 5 * gradients.std(0) / 10 + 10 / (100 * 100)).all()


def test_single_precision_keeps_its_own_digits():
    world = WORLDS["chance"]
    view = build(world).float()
    found = solve(view).double()
    table = table_of(view.double(), world)
    torch.testing.assert_close(found, causal_backup(world, table, HORIZON).log_policy, rtol=0, atol=1e-4)


@worlds
@pytest.mark.parametrize("objective", ["discriminator", "guided_cost"])
def test_a_round_solves_for_the_sampler_and_descends_the_cost(world, objective):
    view = build(world, objective=objective, cost_steps=3)
    calls = []
    view.descend = lambda name, loss_of: calls.append((name, loss_of()))
    view.train_pair(view.sampler.sample(10)[0])
    assert [name for name, _ in calls] == ["cost"] * 3
    expected = causal_backup(world, table_of(view, world), HORIZON).log_policy
    torch.testing.assert_close(view.sampler.policy.logits.log_softmax(-1), expected, rtol=0, atol=1e-10)


@worlds
def test_the_papers_facts_hold(world):
    demonstrations = build(world).sampler.sample(12)[0]
    found = verify(build(world), demonstrations)
    assert found.exit_code == 0, found
    assert found.trained_gradient < 1e-10


def test_it_leaves_the_costs_gradient_alone():
    view = build(WORLDS["chance"])
    solve(view)
    assert all(parameter.grad is None for parameter in view.parameters())
    assert view.sampler.policy.logits.requires_grad


@pytest.mark.parametrize(
    "options",
    [
        {"discriminator": "plain"},
        {"entropy_weight": 0.0},
        {"entropy_weight": -1.0},
        {"generator_loss": "non_saturating", "level": "transition"},
        {"generator_loss": "saturating", "level": "transition"},
    ],
    ids=["plain", "no entropy", "less entropy", "non-saturating", "saturating"],
)
def test_an_objective_that_is_no_cost_and_log_pi_is_refused(options):
    view = build(WORLDS["chance"], **options)
    torch.nn.init.zeros_(view.cost.step_cost.table)  # as at the start of a run, where every step is like the others
    view.log_z.fill_(0.5)
    with pytest.raises(
        ValueError,
        match=r"a cost plus a positive multiple of log pi; the multiple of this one is .* use generator_loss=sum",
    ):
        solve(view)


def test_a_loss_that_is_no_sum_over_steps_is_refused():
    with pytest.raises(ValueError, match="no sum over steps"):
        build(WORLDS["chance"], generator_loss="saturating")


CARTPOLE = make_trajectory_event(HORIZON, [4], num_actions=2, absorbing=True)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (
            lambda: GaussianSampler(make_event("point", [2])),
            "a PolicySampler in a TabularMDP, .* not GaussianSampler; set learner to PPO",
        ),
        (lambda: PolicySampler(CARTPOLE, CartPole(), CategoricalPolicy), "not PolicySampler in CartPole; set learner"),
        (
            lambda: PolicySampler(event_of(WORLDS["chance"]), WORLDS["chance"], CategoricalPolicy),
            "a TabularPolicy with sees_time=true, not CategoricalPolicy$",
        ),
        (
            lambda: PolicySampler(
                event_of(WORLDS["chance"]), WORLDS["chance"], partial(TabularPolicy, sees_time=False)
            ),
            "not TabularPolicy with sees_time=false$",
        ),
    ],
)
def test_other_samplers_are_refused(sampler, message):
    with pytest.raises(ValueError, match=message):
        SoftValueIteration(event_of(WORLDS["chance"])).check(sampler())


def test_ppo_wants_to_go_where_it_is():
    """The two learners agree on what is to be descended: from the solved policy, PPO's own pay leaves no state better
    than its value.
    """
    world = WORLDS["certain"]
    view = build(world, temperature=0.7)
    policy = solve(view)
    backup = causal_backup(world, table_of(view, world), HORIZON, 0.7)
    torch.testing.assert_close(policy, backup.log_policy, rtol=0, atol=1e-10)
    learner = PPO(view.event, decay=1.0).double()
    learner.value = lambda observation, time: backup.values[time, observation.argmax(-1)]
    paid = {}
    kept = learner.advantages
    learner.advantages = lambda rewards, values: paid.setdefault("advantages", kept(rewards, values))
    learner.begin(view.sampler, view.step_objective, view.sampler.sample(50)[0])
    assert (
        paid["advantages"].abs().max() < 1e-10
    )  # of -c/T - log pi against V: zero on every step where nothing is left to chance
