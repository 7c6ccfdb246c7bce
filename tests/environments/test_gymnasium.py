"""gymnasium's environments: the same episodes however they are vectorised, and every way to go wrong named."""

import copy
import gc
import itertools
import multiprocessing
import os
import pickle

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import lightning_irl.environments.gymnasium as module
from lightning_irl.environments import CartPole, GymnasiumEnvironment, Pendulum
from lightning_irl.errors import UserError
from lightning_irl.policies import UniformPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event

NORMAL, RAISE, NAN_OBSERVATION, NAN_REWARD, END, TRUNCATE, DIE, END_AT_LIMIT = range(8)


class Obedient(gymnasium.Env):
    """Does what it is told: the way to make one episode of a round go wrong at one step. Observes a number drawn at the
    start, its steps, and the last action."""

    def __init__(self, observation_space=None, action_space=None, fails_at_reset=False):
        self.observation_space = observation_space or spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = action_space or spaces.Box(0, 10, (1,), np.float32)
        self.fails_at_reset, self.is_over = fails_at_reset, True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.fails_at_reset:
            raise OSError("no level file")
        self.drawn, self.time, self.is_over = self.np_random.random(), 0, False
        return np.array([self.drawn, 0, 0]), {}

    def step(self, action):
        assert not self.is_over, "an episode that ended was stepped"
        order, self.time = round(float(action[0])), self.time + 1
        if order == RAISE:
            raise ZeroDivisionError("two walls meet")
        if order == DIE:
            os._exit(1)
        observation = np.array([np.nan if order == NAN_OBSERVATION else self.drawn, self.time, action[0]])
        ends, is_truncated = order in (END, END_AT_LIMIT), order in (TRUNCATE, END_AT_LIMIT)
        self.is_over = ends or is_truncated
        return observation, np.nan if order == NAN_REWARD else float(self.time), ends, is_truncated, {}


class Echo(gymnasium.Env):
    """Observes what it is made with, and then the action as it came, if that is of its space."""

    def __init__(self, observation_space, action_space, first):
        self.observation_space, self.action_space, self.first = observation_space, action_space, first

    def reset(self, *, seed=None, options=None):
        return self.first, {}

    def step(self, action):
        assert self.action_space.contains(action), action
        Echo.seen = action
        return self.first, 0.0, False, False, {}


gymnasium.register("Obedient-v0", Obedient, max_episode_steps=3)
gymnasium.register("Echo-v0", Echo)


@pytest.fixture(autouse=True)
def _no_process_outlives_a_test():
    gc.freeze()  # a collection then looks at what the test made, not at every module
    yield
    gc.collect()
    gc.unfreeze()
    assert not multiprocessing.active_children()


def orders(num, **at):
    """Actions (num, 1) that are normal but for episodes named ``e0``, ``e1``, ..."""
    action = torch.full((num, 1), float(NORMAL))
    for name, order in at.items():
        action[int(name[1:])] = order
    return action


def made_by(mode=AutoresetMode.NEXT_STEP):
    def factory(num):
        return SyncVectorEnv([Obedient] * num, autoreset_mode=mode)

    return factory


# ---- the same episodes


def own_states(state):
    """States (num, S) float64 of the environments themselves."""
    return torch.as_tensor(np.array(state.current.vector.get_attr("state")))


def test_a_pendulum_is_the_same_in_one_process_in_many_and_in_torch():
    environments = [GymnasiumEnvironment("Pendulum-v1", vectorization=kind) for kind in ("sync", "async")]
    starts = []
    for environment in environments:
        torch.manual_seed(5)
        starts.append(environment.reset(3))
    states, observations = map(list, zip(*starts, strict=True))
    assert torch.equal(*observations)
    batched = tuple(own_states(states[0]).T)
    actions = 6 * torch.rand(220, 3, 1) - 3  # beyond the bounds, and for longer than gymnasium's own 200 steps
    for action in actions:
        steps = [environment.step(state, action) for environment, state in zip(environments, states, strict=True)]
        torch_step = Pendulum().step(batched, action.double())
        states, batched = [step.state for step in steps], torch_step.state
        assert torch.equal(steps[0].observation, steps[1].observation)
        assert torch.equal(steps[0].reward, steps[1].reward)
        assert torch.allclose(steps[0].observation, torch_step.observation.float(), rtol=0, atol=1e-5)
        assert torch.allclose(steps[0].reward, torch_step.reward.float(), rtol=0, atol=1e-4)
        assert not steps[0].terminal.any()
    for environment in environments:
        environment.close()


@pytest.mark.parametrize("vectorization", ["sync", "async", "vector_entry_point"])
def test_cartpole_ends_where_torchs_does(vectorization):
    """All episodes of a round, in whatever order they end; one that ended stays ended."""
    environment = GymnasiumEnvironment("CartPole-v1", vectorization=vectorization, absorbing=True)
    torch.manual_seed(1)
    state, observation = environment.reset(5)
    if vectorization == "vector_entry_point":
        batched = torch.as_tensor(state.current.vector.unwrapped.state.T.copy())
    else:
        batched = own_states(state)
    over = torch.zeros(5, dtype=torch.bool)
    ends = []
    while not over.all():
        action = torch.randint(2, (5,))
        before, step, expected = observation, environment.step(state, action), CartPole().step(batched, action)
        state, batched, observation = step.state, expected.state, step.observation
        assert torch.allclose(observation[~over], expected.observation[~over].float(), rtol=0, atol=1e-5)
        assert (step.reward[~over] == 1).all()
        if vectorization != "vector_entry_point":  # which starts anew by itself
            assert torch.equal(observation[over], before[over])
        over |= expected.terminal
        ends.append(int(over.sum()))
        assert torch.equal(step.terminal, over)
    assert 0 in ends
    assert len(set(ends)) > 2  # they did not all end at once
    environment.close()


@pytest.mark.parametrize("vectorization", ["sync", "async", "vector_entry_point"])
def test_masks_of_a_policys_episodes(vectorization):
    """Known by the rewards, 1 for each step until the end; none survives 200 random pushes."""
    event = make_trajectory_event(200, [4], num_actions=2, absorbing=True)
    environment = GymnasiumEnvironment("CartPole-v1", vectorization=vectorization, absorbing=True)
    trajectory, log_q, rewards = PolicySampler(event, environment, UniformPolicy).rollout(4)
    lengths = trajectory.mask.sum(1)
    assert trajectory.terminal.all()
    assert (lengths >= 8).all()
    assert len(lengths.unique()) > 1
    assert torch.equal(trajectory.mask, torch.arange(200) < lengths[:, None])
    assert torch.equal(rewards, trajectory.mask.float())
    assert torch.allclose(log_q.sum(1), -np.log(2) * lengths)
    for index, length in enumerate(lengths):
        states = trajectory.observations[index].double()
        end = CartPole().step(states[:length], trajectory.actions[index, :length])
        assert torch.allclose(end.observation, states[1 : length + 1], rtol=0, atol=1e-5)
        assert end.terminal.tolist() == [False] * (int(length) - 1) + [True]
        assert (states[length:] == states[length]).all()
    environment.close()


MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


@pytest.mark.parametrize("mode", MODES, ids=[mode.name for mode in MODES])
def test_a_factorys_environments_may_reset_themselves_as_they_like(mode):
    """The last observation is the episode's own; what comes after the end is not looked at, not
    even a failing number.
    """
    environment = GymnasiumEnvironment(factory=made_by(mode), absorbing=True)
    state, start = environment.reset(3)
    assert len(start[:, 0].unique()) == 3
    told = [orders(3), orders(3, e1=END), orders(3), orders(3, e1=TRUNCATE), orders(3, e1=NAN_OBSERVATION), orders(3)]
    for time, action in enumerate(told):
        state, observation, reward, terminal = environment.step(state, action)
        live = [0, 1, 2] if time < 2 else [0, 2]
        assert torch.equal(observation[live, 0], start[live, 0])
        assert (observation[live, 1] == time + 1).all()
        assert (reward[live] == time + 1).all()
        assert terminal.tolist() == [False, time >= 1, False]
    state, again = environment.reset(3)
    assert (again[:, 1] == 0).all()
    assert not environment.step(state, orders(3)).terminal.any()


class Pool:
    """What EnvPool 1.0 to 1.2 make: spaces of one environment, a length, and resets without a seed."""

    def __init__(self, vector):
        self.vector = vector
        self.observation_space, self.action_space = vector.single_observation_space, vector.single_action_space

    def __len__(self):
        return self.vector.num_envs

    def async_reset(self):
        raise NotImplementedError

    def reset(self):
        return self.vector.reset()

    def step(self, action):
        return self.vector.step(action)

    def close(self):
        self.vector.close()


def test_envpools_environments_will_do():
    environment = GymnasiumEnvironment(factory=lambda num: Pool(SyncVectorEnv([Obedient] * num)), absorbing=True)
    state, start = environment.reset(3)
    state, observation, reward, terminal = environment.step(state, orders(3, e1=END))
    assert torch.equal(observation[:, 0], start[:, 0])
    assert reward.tolist() == [1, 1, 1]
    assert terminal.tolist() == [False, True, False]
    state, observation, _, terminal = environment.step(state, orders(3))
    assert observation[[0, 2], 1].tolist() == [2, 2]
    assert terminal.tolist() == [False, True, False]
    _, again = environment.reset(3)
    assert (again[:, 1] == 0).all()


def test_observations_do_not_change_when_gymnasium_writes_over_its_own():
    environment = GymnasiumEnvironment(factory=lambda num: SyncVectorEnv([Obedient] * num, copy=False))
    state, start = environment.reset(2, dtype=torch.float64)
    first = environment.step(state, orders(2))
    second = environment.step(first.state, orders(2))
    assert [seen[0, 1].item() for seen in (start, first.observation, second.observation)] == [0, 1, 2]


def test_a_factorys_environments_are_closed_with_it():
    vectors = []

    def factory(num):
        vectors.append(made_by()(num))
        return vectors[-1]

    environment = GymnasiumEnvironment(factory=factory)
    assert vectors[0].closed  # which told the spaces
    environment.reset(2)
    assert not vectors[1].closed
    del environment
    gc.collect()
    assert vectors[1].closed


def test_a_factory_may_be_a_dotted_path():
    path = "gymnasium.envs.classic_control.cartpole.CartPoleVectorEnv"
    environment = GymnasiumEnvironment(factory=path, absorbing=True)
    state, _ = environment.reset(2, dtype=torch.float64)
    assert (environment.num_actions, environment.observation_shape) == (2, (4,))
    expected = CartPole().step(torch.as_tensor(state.current.vector.state.T.copy()), torch.tensor([0, 1]))
    step = environment.step(state, torch.tensor([0, 1]))
    assert torch.allclose(step.observation, expected.observation, rtol=0, atol=1e-6)


# ---- seeds and rounds


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_torchs_seed_is_the_episodes(vectorization):
    environment = GymnasiumEnvironment("Obedient-v0", vectorization=vectorization)

    def draw(seed):
        torch.manual_seed(seed)
        return environment.reset(4)[1][:, 0]

    first, second = draw(1), environment.reset(4)[1][:, 0]
    state, _ = environment.reset(4)
    environment.step(state, orders(4))
    assert torch.equal(draw(1), first)
    assert len(torch.cat([first, second, draw(2)]).unique()) == 12
    seeds = state.current.vector.get_attr("np_random_seed")
    assert min(abs(one - other) for one, other in itertools.combinations(seeds, 2)) > 1000  # not one seed counted up
    environment.close()


def test_vector_environments_are_kept_for_two_sizes_of_rounds():
    environment = GymnasiumEnvironment("Obedient-v0")
    four, two, again, same = [environment.reset(num)[0].current.vector for num in (4, 2, 2, 4)]
    assert four is same is not two
    assert two is again
    three = environment.reset(3)[0].current.vector  # of the two, 2 was used longer ago
    assert two.closed
    assert not four.closed
    assert environment.reset(4)[0].current.vector is four
    environment.close()
    assert three.closed
    assert four.closed
    assert environment.reset(2)[1].shape == (2, 3)


def test_rounds_of_two_sizes_can_be_interleaved():
    environment = GymnasiumEnvironment("Obedient-v0")
    (first, _), (second, _) = environment.reset(2), environment.reset(3)
    first = environment.step(first, orders(2)).state
    second = environment.step(second, orders(3)).state
    assert (environment.step(first, orders(2)).observation[:, 1] == 2).all()
    assert (environment.step(second, orders(3)).observation[:, 1] == 2).all()


def test_a_state_is_stepped_once():
    environment = GymnasiumEnvironment("Obedient-v0")
    start, _ = environment.reset(2)
    following = environment.step(start, orders(2)).state
    with pytest.raises(RuntimeError, match="Obedient-v0 cannot go on from step 0: its round has moved on"):
        environment.step(start, orders(2))
    other, _ = environment.reset(2)
    for late in (start, following):
        with pytest.raises(RuntimeError, match=f"from step {late.time}: its round has moved on"):
            environment.step(late, orders(2))
    environment.step(other, orders(2))
    last, _ = environment.reset(2)
    environment.close()
    with pytest.raises(RuntimeError, match="from step 0: its round has moved on or is closed"):
        environment.step(last, orders(2))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_runs_rounds_of_its_own(duplicate):
    environment = GymnasiumEnvironment("Obedient-v0")
    state, _ = environment.reset(2)
    other = duplicate(environment)
    other.reset(2)
    assert (environment.step(state, orders(2)).observation[:, 1] == 1).all()


def test_processes_end_with_their_environment():
    environment = GymnasiumEnvironment("Obedient-v0", vectorization="async")
    environment.reset(3)
    assert len(multiprocessing.active_children()) == 3
    environment.close()
    assert not multiprocessing.active_children()
    environment.reset(2)
    assert len(multiprocessing.active_children()) == 2
    del environment  # and the fixture looks for what is left


# ---- spaces


def echo(observation_space, first, action_space=None):
    action_space = action_space or spaces.Discrete(2)
    kwargs = {"observation_space": observation_space, "action_space": action_space, "first": first}
    return GymnasiumEnvironment("Echo-v0", kwargs=kwargs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("space", "first", "expected"),
    [
        (spaces.Box(-1, 1, (2,), np.float64), np.array([0.25, -0.5]), [0.25, -0.5]),
        (spaces.Box(0, 255, (1, 2, 2), np.uint8), np.uint8([[[0, 51], [102, 255]]]), [[[0, 0.2], [0.4, 1]]]),
        (spaces.Box(0, 9, (2,), np.int64), np.array([3, 7]), [3, 7]),
        (spaces.Box(-1, 1, (), np.float32), np.array(0.5, np.float32), [0.5]),
        (spaces.Discrete(4), 2, [0, 0, 1, 0]),
        (spaces.Discrete(3, start=5), 7, [0, 0, 1]),
    ],
    ids=["floats", "image", "integers", "scalar", "discrete", "discrete from 5"],
)
def test_observations_are_floats(space, first, expected, dtype):
    environment = echo(space, first)
    state, observation = environment.reset(2, dtype=dtype)
    assert torch.allclose(observation, torch.tensor([expected, expected], dtype=dtype), atol=1e-7)
    assert list(environment.observation_shape) == list(observation.shape[1:])
    step = environment.step(state, torch.tensor([0, 1]))
    assert torch.equal(step.observation, observation)
    assert step.observation.dtype == step.reward.dtype == dtype


@pytest.mark.parametrize(
    ("space", "given", "expected", "bounds"),
    [
        (spaces.Box(-2, 3, (2,), np.float32), [-9.0, 0.5], [-2.0, 0.5], ((-2, -2), (3, 3))),
        (spaces.Box(np.float32([0, -np.inf]), np.inf), [-1.0, -7.0], [0.0, -7.0], ((0, -np.inf), (np.inf, np.inf))),
        (spaces.Box(-1, 1, (2, 2), np.float64), [[0.1, 2], [-2, 0]], [[0.1, 1], [-1, 0]], ((-1,) * 4, (1,) * 4)),
        (spaces.Box(-1, 1, (), np.float32), [0.5], 0.5, ((-1,), (1,))),
        (spaces.Discrete(3), 2, 2, ((), ())),
        (spaces.Discrete(3, start=5), 2, 7, ((), ())),
    ],
    ids=["box", "half open", "matrix", "scalar", "discrete", "discrete from 5"],
)
def test_actions_arrive_clipped_and_of_the_space(space, given, expected, bounds):
    environment = echo(spaces.Discrete(2), 0, space)
    assert (tuple(environment.action_low), tuple(environment.action_high)) == bounds
    state, _ = environment.reset(1)
    action = torch.tensor([given])
    environment.step(state, action)
    np.testing.assert_allclose(Echo.seen, expected, rtol=1e-6)
    assert (environment.num_actions, list(environment.action_shape)) == (
        (3, []) if isinstance(space, spaces.Discrete) else (0, list(action.shape[1:]))
    )


def test_a_lake_is_a_table():
    """gymnasium's FrozenLake, not slippery: right and down along the edge to the goal in the corner."""
    environment = GymnasiumEnvironment("FrozenLake-v1", absorbing=True, kwargs={"is_slippery": False})
    state, observation = environment.reset(1)
    visited, total = [observation.argmax().item()], 0.0
    for action in [1, 1, 2, 1, 2, 2]:  # down, down, right, down, right, right
        state, observation, reward, terminal = environment.step(state, torch.tensor([action]))
        visited.append(observation.argmax().item())
        total += reward.item()
    assert visited == [0, 4, 8, 9, 13, 14, 15]
    assert total == 1
    assert terminal.item()
    assert observation.sum() == 1


# ---- what goes wrong, and is named


@pytest.mark.long
@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize(
    ("order", "message"),
    [
        (RAISE, "environment Obedient-v0 failed in episode 2 at step 1: ZeroDivisionError: two walls meet"),
        (NAN_OBSERVATION, "environment Obedient-v0 gave a non-finite observation in episode 2 at step 1;"),
        (NAN_REWARD, "environment Obedient-v0 gave a non-finite reward in episode 2 at step 1;"),
        (float("nan"), "environment Obedient-v0 was given a non-finite action in episode 2 at step 1;"),
    ],
)
def test_what_goes_wrong_names_environment_episode_and_step(vectorization, order, message):
    environment = GymnasiumEnvironment("Obedient-v0", vectorization=vectorization)
    state, _ = environment.reset(4)
    state = environment.step(state, orders(4)).state
    with pytest.raises(RuntimeError, match=message):
        environment.step(state, orders(4, e2=order))
    state, _ = environment.reset(4)  # the next round is whole again
    assert (environment.step(state, orders(4)).observation[:, 1] == 1).all()
    environment.close()


def test_a_process_that_dies_is_named():
    environment = GymnasiumEnvironment("Obedient-v0", vectorization="async")
    state, _ = environment.reset(3)
    with pytest.raises(RuntimeError, match=r"failed at step 0: the process of episode 1 died;.*vectorization=sync"):
        environment.step(state, orders(3, e1=DIE))
    assert not multiprocessing.active_children()
    assert environment.reset(3)[1].shape == (3, 3)
    environment.close()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_failing_reset_is_named(vectorization):
    environment = GymnasiumEnvironment("Obedient-v0", vectorization=vectorization, kwargs={"fails_at_reset": True})
    with pytest.raises(RuntimeError, match=r"Obedient-v0 failed in episode [01] at the reset: OSError: no level file"):
        environment.reset(2)


def test_a_failing_factory_environment_is_named():
    environment = GymnasiumEnvironment(factory=made_by())
    state, _ = environment.reset(2)
    with pytest.raises(RuntimeError, match="environment factory failed at step 0: ZeroDivisionError: two walls meet"):
        environment.step(state, orders(2, e1=RAISE))


@pytest.mark.parametrize("vectorization", ["sync", "async", None])
def test_truncation_before_the_horizon_is_refused_and_at_it_is_not(vectorization):
    if vectorization is None:
        environment, cure = GymnasiumEnvironment(factory=made_by()), "lift it in the factory"
    else:
        environment, cure = GymnasiumEnvironment("Obedient-v0", vectorization=vectorization), "its own, since"
    state, _ = environment.reset(3)
    state = environment.step(state, orders(3)).state
    step = environment.step(state, orders(3, e1=TRUNCATE))
    assert not step.terminal.any()
    with pytest.raises(RuntimeError, match=rf"truncated episode 1 after 2 steps.*{cure}.*horizon to 2"):
        environment.step(step.state, orders(3))
    environment.close()


def test_gymnasiums_time_limit_is_lifted_and_can_be_kept():
    lifted = GymnasiumEnvironment("Obedient-v0")  # registered with 3 steps
    kept = GymnasiumEnvironment("Obedient-v0", kwargs={"max_episode_steps": 3})
    state, _ = lifted.reset(1)
    for _ in range(10):
        state = lifted.step(state, orders(1)).state
    state, _ = kept.reset(1)
    for _ in range(3):
        state = kept.step(state, orders(1)).state
    with pytest.raises(RuntimeError, match="truncated episode 0 after 3 steps"):
        kept.step(state, orders(1))


def test_the_limit_of_a_vector_entry_point_is_lifted_too():
    """A linear controller holds the pole for longer than gymnasium's own 500 steps."""
    environment = GymnasiumEnvironment("CartPole-v1", vectorization="vector_entry_point", absorbing=True)
    state, observation = environment.reset(2)
    for _ in range(600):
        lean = observation[:, 2] + 0.3 * observation[:, 3] + 0.02 * observation[:, 0] + 0.05 * observation[:, 1]
        state, observation, _, terminal = environment.step(state, (lean > 0).long())
    assert not terminal.any()
    assert not state.truncated.any()


@pytest.mark.parametrize("vectorization", ["sync", "async", None])
def test_an_end_that_was_not_said_is_refused(vectorization):
    if vectorization is None:
        environment = GymnasiumEnvironment(factory=made_by())
    else:
        environment = GymnasiumEnvironment("Obedient-v0", vectorization=vectorization)
    state, _ = environment.reset(3)
    step = environment.step(state, orders(3, e2=END))
    with pytest.raises(RuntimeError, match=r"ended episode 2 after 1 steps, before the horizon.*set absorbing=true"):
        environment.step(step.state, orders(3))
    environment.close()


def test_an_end_in_the_last_step_of_the_horizon_is_no_early_end():
    event = make_trajectory_event(1, [3], action_shape=[1], action_low=[END - 0.4], action_high=[END + 0.4])
    sampler = PolicySampler(event, GymnasiumEnvironment("Obedient-v0"), UniformPolicy)
    trajectory = sampler.rollout(3).trajectory
    assert trajectory.mask.all()
    assert not trajectory.terminal.any()


@pytest.mark.parametrize("vectorization", ["sync", None])
def test_an_end_at_a_time_limit_is_an_end(vectorization):
    if vectorization is None:
        environment = GymnasiumEnvironment(factory=made_by(), absorbing=True)
    else:
        environment = GymnasiumEnvironment("Obedient-v0", vectorization=vectorization, absorbing=True)
    state, _ = environment.reset(2)
    step = environment.step(state, orders(2, e0=END_AT_LIMIT))
    assert step.terminal.tolist() == [True, False]
    assert environment.step(step.state, orders(2)).observation[1, 1] == 2


IDS = {
    "Pendulun-v1": r"gymnasium has no environment Pendulun-v1; did you mean Pendulum-v1",
    "Pendulum-v0": r"no environment Pendulum-v0; did you mean Pendulum-v1",
    "Pendulum-v99": r"no environment Pendulum-v99; did you mean Pendulum-v1",
    "Qxyzzyq-v0": r"no environment Qxyzzyq-v0; no name is similar. Environments of other packages",
    "Unheard-v0": r"no environment Unheard-v0; did you mean .* Environments of other packages are given as module:Id",
    "NoSpace/Unheard-v0": r"Namespace NoSpace not found.*module:Id-v0",
    "no_such_module:Some-v0": r"Some-v0 needs a package that is not installed: No module named .no_such_module",
    "Blackjack-v1": r"Blackjack-v1 has observations in a Tuple space; allowed: Box, Discrete.*FlattenObservation",
}


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("vectorization", ["sync", "vector_entry_point"])
def test_ids_that_cannot_be_used_are_refused(name, vectorization):
    message = IDS[name]
    if name == "Blackjack-v1" and vectorization == "vector_entry_point":
        message = "environment Blackjack-v1 has no vector_entry_point; use vectorization=sync"
    with pytest.raises(ValueError, match=message):
        GymnasiumEnvironment(name, vectorization=vectorization)


NOT_INSTALLED = gymnasium.error.DependencyNotInstalled
MISSING = [
    ("Hopper-v5", NOT_INSTALLED('run `pip install "gymnasium[mujoco]"`'), r'pip install "lightning-irl\[mujoco\]"$'),
    ("Hopper-v5", ModuleNotFoundError("No module named 'imageio'"), r'pip install "lightning-irl\[mujoco\]"$'),
    ("LunarLander-v3", NOT_INSTALLED('run `pip install "gymnasium[box2d]"`'), r'pip install "gymnasium\[box2d\]"$'),
    ("Echo-v0", NOT_INSTALLED("get it from the author"), "get it from the author$"),
    ("Echo-v0", ModuleNotFoundError("No module named 'echoes'"), "No module named 'echoes'$"),
]


@pytest.mark.parametrize(("name", "error", "message"), MISSING)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, name, error, message):
    def make(*_, **__):
        raise error

    monkeypatch.setattr(gymnasium, "make", make)
    with pytest.raises(ValueError, match=f"environment {name} needs a package that is not installed: {message}"):
        GymnasiumEnvironment(name)


class Short:
    """Not a vector environment."""

    def close(self):
        pass


BAD = {
    "neither": ({}, "id is None and factory is None; give one of them"),
    "both": ({"id": "Pendulum-v1", "factory": made_by()}, "give one of them"),
    "mode": ({"id": "Pendulum-v1", "vectorization": "threads"}, "'threads'; allowed: sync, async, vector_entry_point"),
    "max_envs": ({"id": "Pendulum-v1", "max_envs": 0}, "max_envs is 0; it must be at least 1"),
    "kwargs": ({"id": "Pendulum-v1", "kwargs": {"gravitas": 1}}, r"Pendulum-v1 cannot be made with .*gravitas"),
    "factory kwargs": (
        {"factory": made_by(), "kwargs": {"g": 1}},
        "with a factory, give them to the environment there",
    ),
    "no entry point": ({"id": "Pendulum-v1", "vectorization": "vector_entry_point"}, "has no vector_entry_point"),
    "no module": ({"factory": "no_such_module.make"}, "factory is 'no_such_module.make'; there is no such function"),
    "no function": ({"factory": "gymnasium.mak"}, "factory is 'gymnasium.mak'; there is no such function"),
    "no path": ({"factory": "make"}, "factory is 'make'; there is no such function"),
    "no callable": ({"factory": "gymnasium.registry"}, "gymnasium.registry is a dict; it must be a function"),
    "no vector": ({"factory": lambda num: Short()}, "made a Short, which has no reset, step, num_envs"),
    "wrong number": ({"factory": lambda num: made_by()(7)}, "made 7 environments; it must make 1"),
    "dict actions": (
        {"id": "Obedient-v0", "kwargs": {"action_space": spaces.Dict({"a": spaces.Discrete(2)})}},
        r"takes actions of a Dict space.*allowed: Discrete, and Box of floats",
    ),
    "integer actions": (
        {"id": "Obedient-v0", "kwargs": {"action_space": spaces.Box(0, 9, (1,), np.int64)}},
        "takes actions of a Box space of int64",
    ),
    "dict observations": (
        {"id": "Obedient-v0", "kwargs": {"observation_space": spaces.Dict({"a": spaces.Discrete(2)})}},
        "has observations in a Dict space; allowed: Box, Discrete. Give a factory that wraps it",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_arguments_that_cannot_be_used_are_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        GymnasiumEnvironment(**arguments)


def test_a_round_beyond_max_envs_is_refused():
    environment = GymnasiumEnvironment("Obedient-v0", max_envs=3)
    assert environment.reset(3)[1].shape == (3, 3)
    with pytest.raises(UserError, match="4 episodes at once of environment Obedient-v0 are more than max_envs=3"):
        environment.reset(4)


def test_it_is_checked_against_the_data_like_every_environment():
    event = make_trajectory_event(5, [4], num_actions=2)
    with pytest.raises(ValueError, match="set absorbing=true on the data"):
        PolicySampler(event, GymnasiumEnvironment("CartPole-v1", absorbing=True), UniformPolicy)
    with pytest.raises(ValueError, match="observation_shape"):
        PolicySampler(event, GymnasiumEnvironment("Pendulum-v1"), UniformPolicy)


def test_gymnasium_is_imported_at_call_time_alone():
    assert "gymnasium" not in vars(module)
    assert "spaces" not in vars(module)
