"""PPO against slow formulas, and on a task."""

import math

import pytest
import torch

from lightning_irl.environments import CartPole, Pendulum
from lightning_irl.learners import PPO
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy
from lightning_irl.samplers import GaussianSampler, PolicySampler
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.spaces.trajectory import cut

EVENT = make_trajectory_event(20, [3], action_shape=[1], action_low=[-2], action_high=[2])
ABSORBING = make_trajectory_event(60, [4], num_actions=2, absorbing=True)


@pytest.mark.parametrize(("discount", "decay"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (0.9, 0.0)])
def test_advantages_are_the_weighted_sum_of_errors(discount, decay):
    learner = PPO(EVENT, discount=discount, decay=decay)
    rewards, values = torch.randn(2, 5, 20).double()
    found = learner.advantages(rewards, values)
    following = torch.cat([values[:, 1:], torch.zeros(5, 1).double()], 1)
    errors = rewards + discount * following - values
    for start in range(20):
        weights = (discount * decay) ** torch.arange(20 - start).double()
        assert torch.allclose(found[:, start], (errors[:, start:] * weights).sum(1))
    if decay == discount == 1:
        assert torch.allclose(found + values, rewards.flip(1).cumsum(1).flip(1))


def test_the_first_descent_is_the_policy_gradient():
    sampler = PolicySampler(EVENT, Pendulum(), ClippedGaussianPolicy).double()
    learner = PPO(EVENT, minibatches=1, value_weight=0.0).double()
    trajectory, _ = sampler.sample(30)

    def objective(steps, log_pi):
        return steps.observations[:, 0, 0] + log_pi

    assert learner.begin(sampler, objective, trajectory) == 4
    parameters = list(sampler.policy.parameters())
    found = torch.autograd.grad(learner.loss(sampler, objective, 30), parameters)
    with torch.no_grad():
        log_pi = sampler.step_log_prob(trajectory)
        rewards = -(trajectory.observations[:, :-1, 0] + log_pi)
        learner.return_mean.zero_(), learner.return_variance.fill_(1.0)
        values = learner.value(trajectory.observations[:, :-1], trajectory.time)
        advantages = learner.advantages(rewards, values)
        advantages = (advantages - advantages.mean()) / advantages.std().clamp(min=1)
    expected = torch.autograd.grad(-(advantages * sampler.step_log_prob(trajectory)).mean(), parameters)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-10)


def absorbed_returns(costs, trajectory, discount):
    """Returns to go (B, T) of costs paid in every step, absorbed ones too, step by step from the back."""
    returns, following = torch.zeros_like(costs), torch.zeros(len(costs), dtype=costs.dtype)
    for step in reversed(range(trajectory.num_steps)):
        following = -costs[:, step] + discount * following
        returns[:, step] = following
    return returns


@pytest.mark.parametrize(("discount", "decay"), [(1.0, 0.0), (1.0, 0.95), (0.9, 0.5), (0.9, 1.0)])
def test_values_that_are_right_leave_no_advantage(discount, decay):
    """With the true returns for values of the living, and PPO's own for the absorbed, every error is zero: so its own
    are exact.
    """
    sampler = PolicySampler(ABSORBING, CartPole(), CategoricalPolicy).double()
    learner = PPO(ABSORBING, decay=decay, discount=discount).double()
    trajectory, _ = sampler.sample(20)
    assert trajectory.terminal.sum() > 15
    steps = cut(trajectory, 1)
    costs = torch.where(trajectory.absorbed, 3.0, steps.observations[:, 0, 0].view(20, 60) + 0.1)
    returns = absorbed_returns(costs, trajectory, discount)
    learner.value = lambda observation, time: torch.where(trajectory.mask, returns, torch.nan)
    learner.begin(
        sampler, lambda steps, log_pi: costs.flatten() if len(log_pi) > 1 else torch.full((1,), 3.0), trajectory
    )
    mask = trajectory.mask
    observation, action, time, log_pi, advantage, target = learner._steps
    torch.testing.assert_close(target, returns[mask])
    assert advantage.abs().max() < 1e-4  # rounding by the 1e-8 that keeps the division from zero
    # steps without an action are not learned from
    for ours, theirs in (
        (observation, trajectory.observations[:, :-1]),
        (action, trajectory.actions),
        (time, trajectory.time),
        (log_pi, sampler.step_log_prob(trajectory)),
    ):
        assert torch.equal(ours, theirs[mask])


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_the_value_of_absorption_is_its_cost_for_all_the_time_left(discount):
    sampler = PolicySampler(ABSORBING, CartPole(), CategoricalPolicy)
    learner = PPO(ABSORBING, decay=0.0, discount=discount)
    trajectory, _ = sampler.sample(20)
    assert trajectory.terminal.any()

    def objective(steps, log_pi):
        return torch.where(steps.absorbed[:, 0], 3.0, 0.0)

    learner.begin(sampler, objective, trajectory)
    observation, _, time, _, _, target = learner._steps
    episode = int(trajectory.terminal.nonzero()[0])
    last = int(trajectory.mask[episode].sum()) - 1
    places = (time == last) & (observation == trajectory.observations[episode, last]).all(1)
    assert places.sum() == 1
    expected = -3.0 * sum(discount**step for step in range(1, 60 - last))
    assert target[places].item() == pytest.approx(expected, rel=1e-5)


def started(event=EVENT, num=30, **options):
    """Sampler, learner and trajectory after :meth:`begin`, in double precision."""
    environment, policy = (
        (CartPole(), CategoricalPolicy) if event["num_actions"] else (Pendulum(), ClippedGaussianPolicy)
    )
    sampler, learner = PolicySampler(event, environment, policy).double(), PPO(event, **options).double()
    trajectory, _ = sampler.sample(num)
    number = learner.begin(sampler, lambda steps, log_pi: steps.observations[:, 0, 0] + log_pi, trajectory)
    return sampler, learner, trajectory, number


@pytest.mark.parametrize("event", [EVENT, ABSORBING], ids=["continuous", "discrete"])
def test_the_loss_is_the_clipped_surrogate_and_the_critics_error(event):
    """Equation 9 of Schulman et al. 2017, once the policy has moved: by hand, one step after another."""
    sampler, learner, trajectory, _ = started(event, minibatches=1, clip=0.1, value_weight=0.7)
    old = sampler.step_log_prob(trajectory).detach()[trajectory.mask]
    with torch.no_grad():
        for parameter in sampler.policy.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    new = sampler.step_log_prob(trajectory).detach()[trajectory.mask]
    *_, advantages, targets = learner._steps
    total, outside = 0.0, 0
    for ratio, advantage in zip((new - old).exp().tolist(), advantages.tolist(), strict=True):
        allowed = min(ratio, 1.1) if advantage > 0 else max(ratio, 0.9)
        outside += allowed != ratio
        total -= allowed * advantage / len(old)
    assert 0.1 * len(old) < outside < 0.9 * len(old)
    values = learner.value(trajectory.observations[:, :-1], trajectory.time)[trajectory.mask]
    beyond = targets - learner.absorbed_value(trajectory.time[trajectory.mask])  # zero without absorption
    error = (values - targets).square().mean() / beyond.var()
    found = learner.loss(sampler, None, 30)
    assert found.item() == pytest.approx(total + 0.7 * error.item(), rel=1e-5)
    assert advantages.mean().abs() < 1e-9
    assert advantages.std().item() == pytest.approx(1, abs=1e-6)


def test_what_is_clipped_has_no_gradient():
    sampler, learner, _, _ = started(minibatches=1, clip=0.0, value_weight=0.0)
    with torch.no_grad():
        sampler.policy.log_std.add_(0.5)
        sampler.policy.network[-1].bias.add_(0.5)
    # where advantage and change have one sign, so all that is left falls with the ratio
    learner._steps = (*learner._steps[:4], learner._steps[4].abs(), learner._steps[5])
    observation, action, time, old, advantage, _ = learner._steps
    ratio = (sampler.policy.log_prob(observation, action, time) - old).exp()
    kept = ratio.detach() < 1
    expected = torch.autograd.grad(-(ratio * advantage)[kept].sum() / len(kept), list(sampler.policy.parameters()))
    found = torch.autograd.grad(learner.loss(sampler, None, 30), list(sampler.policy.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("passes", "minibatches"), [(1, 1), (3, 7), (2, 600)])
def test_every_pass_visits_every_step_once_in_an_order_of_its_own(passes, minibatches):
    sampler, learner, trajectory, number = started(passes=passes, minibatches=minibatches)
    assert number == passes * minibatches
    seen, log_prob = [], sampler.policy.log_prob

    def listen(observation, action, time):
        seen.append(observation[:, 2])
        return log_prob(observation, action, time)

    sampler.policy.log_prob = listen
    for _ in range(number):
        assert torch.isfinite(learner.loss(sampler, None, 30))
    orders = [torch.cat(seen[k * minibatches : (k + 1) * minibatches]) for k in range(passes)]
    for order in orders:
        assert torch.equal(order.sort().values, trajectory.observations[:, :-1, 2].flatten().sort().values)
    assert len({tuple(order.tolist()) for order in orders}) == passes


@pytest.mark.parametrize("steps", [2, 3, 9, 17, 55])
def test_no_minibatch_is_empty_however_few_the_steps(steps):
    """Of a round with hardly more steps than minibatches, or fewer: a mean of nothing would be NaN."""
    event = make_trajectory_event(steps, [3], action_shape=[1], action_low=[-2], action_high=[2])
    sampler, learner, _, number = started(event, num=1, passes=1, minibatches=8)
    assert number == 8
    sizes, log_prob = [], sampler.policy.log_prob

    def listen(observation, action, time):
        sizes.append(time.tolist())
        return log_prob(observation, action, time)

    sampler.policy.log_prob = listen
    assert all(torch.isfinite(learner.loss(sampler, None, 1)) for _ in range(number))
    assert set().union(*sizes) == set(range(steps))
    assert max(map(len, sizes)) - min(map(len, sizes)) <= 1
    assert steps < 8 or sum(map(len, sizes)) == steps


def test_a_round_left_in_the_middle_does_not_reach_into_the_next():
    sampler, learner, _, _ = started(minibatches=4)
    learner.loss(sampler, None, 30)
    trajectory, _ = sampler.sample(20)  # fewer, so that an old order would point beyond them
    learner.begin(sampler, lambda steps, log_pi: log_pi, trajectory)
    seen, log_prob = [], sampler.policy.log_prob

    def listen(observation, action, time):
        seen.append(observation[:, 2])
        return log_prob(observation, action, time)

    sampler.policy.log_prob = listen
    for _ in range(4):
        learner.loss(sampler, None, 20)
    assert torch.equal(torch.cat(seen).sort().values, trajectory.observations[:, :-1, 2].flatten().sort().values)


def test_values_are_in_units_of_the_returns():
    learner = PPO(EVENT).double()
    observation, time = torch.randn(5, 3).double(), torch.arange(5)
    standard = learner.value(observation, time)
    learner.return_mean.fill_(-70.0)
    learner.return_variance.fill_(9.0)
    torch.testing.assert_close(learner.value(observation, time), 3 * standard - 70)


def test_losses_of_a_round_reach_policy_and_critic_alone():
    sampler, learner, _, _ = started()
    learner.loss(sampler, None, 30).backward()
    for module in (sampler, learner):
        for name, parameter in module.named_parameters():
            assert (parameter.grad != 0).any(), name
            assert torch.isfinite(parameter.grad).all(), name


def test_the_critic_learns_the_time_that_is_left():
    """Where each step costs 1, the value is minus the number of steps left, whatever the state. Within 5 % of the
    horizon.
    """
    sampler, learner = PolicySampler(EVENT, Pendulum(), ClippedGaussianPolicy), PPO(EVENT, value_weight=1.0)
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
    for _ in range(10):
        trajectory, _ = sampler.sample(32)
        for _ in range(learner.begin(sampler, lambda steps, log_pi: torch.ones_like(log_pi), trajectory)):
            optimizer.zero_grad()
            learner.loss(sampler, None, 32).backward()
            optimizer.step()
    trajectory, _ = sampler.sample(32)
    with torch.no_grad():
        values = learner.value(trajectory.observations[:, :-1], trajectory.time)
    assert (values + 20 - trajectory.time).square().mean().sqrt() < 1


def test_running_moments_of_the_returns():
    """The first round's own; after it what ``statistics_decay`` keeps of them; of steps with an action alone, beyond
    absorption.
    """
    sampler, learner, _, _ = started(ABSORBING, statistics_decay=0.75, decay=1.0)
    learner.rounds.zero_()
    means, variances = [], []
    for scale in (1.0, 10.0):
        trajectory, _ = sampler.sample(10)

        def objective(steps, log_pi, scale=scale):
            return scale * torch.where(steps.absorbed[:, 0], 2.0, steps.observations[:, 0, 0] + 1)

        # decay is 1, so that what the critic says drops out of the returns
        learner.begin(sampler, objective, trajectory)
        costs = torch.where(trajectory.absorbed, 2.0, trajectory.observations[:, :-1, 0] + 1) * scale
        found = (absorbed_returns(costs, trajectory, 1.0) + 2.0 * scale * (60 - trajectory.time))[trajectory.mask]
        means.append(found.mean().item())
        variances.append(found.var().item())
    assert learner.rounds.item() == 2
    assert learner.return_mean.item() == pytest.approx(0.75 * means[0] + 0.25 * means[1])
    assert learner.return_variance.item() == pytest.approx(0.75 * variances[0] + 0.25 * variances[1], rel=1e-4)


def train(sampler, learner, objective, rounds, num):
    optimizer = torch.optim.Adam([*sampler.parameters(), *learner.parameters()], lr=3e-3)
    for _ in range(rounds):
        trajectory, _ = sampler.sample(num)
        for _ in range(learner.begin(sampler, objective, trajectory)):
            loss = learner.loss(sampler, objective, num)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@pytest.mark.long
def test_a_constant_cost_teaches_nothing():
    """What the entropy term pays is the same for living and for absorption, and noise is not made a preference.

    With a uniform policy every return is the same. Fifty starts: episodes under actions at random last 22 steps, sd 12,
    so their mean has a standard error of 1.7.
    """
    event = make_trajectory_event(200, [4], num_actions=2, absorbing=True, observation_scale=[0.5, 0.5, 0.05, 0.5])
    sampler, learner = PolicySampler(event, CartPole(), CategoricalPolicy), PPO(event)

    def objective(steps, log_pi):
        return torch.where(steps.absorbed[:, 0], -math.log(2), 0.0) + log_pi

    train(sampler, learner, objective, rounds=12, num=32)
    rollout = sampler.rollout(50)
    assert abs(rollout.trajectory.mask.sum(1).double().mean() - 22) < 4 * 1.7
    assert (-rollout.log_q[rollout.trajectory.mask]).mean() > math.log(2) - 0.02


@pytest.mark.parametrize(("scale", "std"), [(1e-3, None), (100.0, 1.0)])
def test_small_advantages_are_left_in_nats(scale, std):
    sampler, learner = PolicySampler(EVENT, Pendulum(), ClippedGaussianPolicy).double(), PPO(EVENT, decay=1.0).double()
    learner.value = lambda observation, time: torch.zeros_like(time, dtype=torch.double)
    trajectory, _ = sampler.sample(30)
    learner.begin(sampler, lambda steps, log_pi: scale * steps.observations[:, 0, 0], trajectory)
    returns = -scale * trajectory.observations[:, :-1, 0].flip(1).cumsum(1).flip(1).flatten()
    expected = (returns - returns.mean()) / (returns.std() if std else 1.0)
    torch.testing.assert_close(learner._steps[4], expected)


@pytest.mark.long
def test_it_learns_to_balance():
    event = make_trajectory_event(100, [4], num_actions=2, absorbing=True, observation_scale=[0.5, 0.5, 0.05, 0.5])
    sampler = PolicySampler(event, CartPole(), CategoricalPolicy)
    learner = PPO(event, passes=4, minibatches=4)

    def objective(steps, log_pi):
        return steps.absorbed[:, 0].float() + 0.01 * log_pi

    before = sampler.rollout(100).rewards.sum(1).mean()
    train(sampler, learner, objective, rounds=12, num=64)
    after = sampler.rollout(100).rewards.sum(1).mean()
    assert before < 35
    assert after > 70


def test_its_state_is_saved(tmp_path):
    _, learner, trajectory, _ = started()
    other = PPO(EVENT).double()
    seen = trajectory.observations[:, :-1], trajectory.time
    assert not torch.allclose(other.value(*seen), learner.value(*seen))
    torch.save(learner.state_dict(), tmp_path / "learner.pt")
    other.load_state_dict(torch.load(tmp_path / "learner.pt", weights_only=True))
    assert torch.equal(other.value(*seen), learner.value(*seen))
    assert other.rounds.item() == 1
    assert {"return_mean", "return_variance", "rounds"} < set(learner.state_dict())


def test_nothing_is_made_on_another_device():
    """A tensor made without saying where lands on ``meta`` here, as it would on the CPU beside a GPU."""
    for event in (EVENT, ABSORBING):
        sampler, learner, trajectory, _ = started(event, discount=0.9)
        with torch.device("meta"):
            learner.begin(sampler, lambda steps, log_pi: steps.observations[:, 0, 0] + log_pi, trajectory)
            loss = learner.loss(sampler, None, 30)
            loss.backward()
        assert loss.device.type == "cpu"
        assert {buffer.device.type for buffer in learner.buffers()} == {"cpu"}


def test_nothing_waits_for_a_device():
    """On ``meta`` a value that is looked at is an error. Absorbing states are exempt: how many steps were lived is a
    shape.
    """
    sampler, learner = PolicySampler(EVENT, Pendulum(), ClippedGaussianPolicy).to("meta"), PPO(EVENT).to("meta")
    trajectory, _ = sampler.sample(5)
    learner.begin(sampler, lambda steps, log_pi: log_pi, trajectory)
    learner.loss(sampler, None, 5).backward()


def test_a_discount_is_no_longer_the_papers_objective():
    assert PPO(EVENT).departures() == []
    assert PPO(EVENT, discount=0.9).departures() == ["discount is 0.9: later costs count less"]


def test_what_it_cannot_train_is_refused():
    with pytest.raises(ValueError, match="PolicySampler"):
        PPO(EVENT).check(GaussianSampler(make_event("point", [2])))
    with pytest.raises(ValueError, match="kind point"):
        PPO(make_event("point", [2]))
    PPO(EVENT).check(PolicySampler(EVENT, Pendulum(), ClippedGaussianPolicy))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"passes": 0}, "passes is 0 and minibatches 8; both must be at least 1"),
        ({"minibatches": 0}, "passes is 4 and minibatches 0"),
        ({"discount": 1.5}, r"decay is 0\.95 and discount 1\.5; they lie between 0 and 1"),
        ({"discount": 0.0}, r"discount 0\.0"),
        ({"decay": -0.1}, r"decay is -0\.1"),
        ({"decay": 1.1}, r"decay is 1\.1"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        PPO(EVENT, **options)


def test_transitions_are_what_the_objective_sees():
    sampler, seen = PolicySampler(EVENT, Pendulum(), ClippedGaussianPolicy), []
    trajectory, _ = sampler.sample(3)

    def objective(steps, log_pi):
        seen.append((steps, log_pi))
        return log_pi

    PPO(EVENT).begin(sampler, objective, trajectory)
    steps, log_pi = seen[0]
    assert torch.equal(steps.observations, cut(trajectory, 1).observations)
    assert torch.allclose(log_pi, sampler.step_log_prob(trajectory).flatten())
