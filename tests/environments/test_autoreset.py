"""Vector environments that reset in the same step, and observations that running statistics change: taken rightly, or
refused.
"""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

from lightning_irl.environments import GymnasiumEnvironment
from lightning_irl.errors import UserError
from lightning_irl.policies import UniformPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event

LENGTHS = [2, 5]


class Simulator(VectorEnv):
    """Counts steps up to each episode's length, then starts anew within the same step, as simulators on GPUs do."""

    def __init__(self, num, says=None, keeps=None, masks=True):
        self.num_envs, self.keeps, self.masks = num, keeps, masks
        self.single_observation_space = spaces.Box(-1e6, 1e6, (1,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num)
        self.action_space = batch_space(self.single_action_space, num)
        self.metadata = {} if says is None else {"autoreset_mode": says}

    def reset(self, *, seed=None, options=None):
        self.time, self.length = np.zeros(self.num_envs), np.array(LENGTHS[: self.num_envs])
        return self.time.astype(np.float32)[:, None], {}

    def step(self, actions):
        self.time += 1
        ended = self.time >= self.length
        last = self.time.astype(np.float32)[:, None]
        info = {}
        if ended.any() and self.keeps:
            info = {
                self.keeps: np.array([seen if end else None for seen, end in zip(last, ended, strict=True)], object)
            }
            if self.masks:
                info[f"_{self.keeps}"] = ended
        self.time[ended] = 0
        return self.time.astype(np.float32)[:, None], np.ones(self.num_envs), ended, np.zeros_like(ended), info

    def close(self, **_):
        pass


def rollout(factory, horizon=4):
    environment = GymnasiumEnvironment(factory=factory, absorbing=True)
    event = make_trajectory_event(horizon, environment.observation_shape, num_actions=2, absorbing=True)
    try:
        return PolicySampler(event, environment, UniformPolicy).rollout(2).trajectory
    finally:
        environment.close()


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("keeps", ["final_obs", "final_observation"])
@pytest.mark.parametrize("says", [None, AutoresetMode.SAME_STEP, "SameStep", "same_step"])
def test_the_last_observation_is_taken_from_wherever_it_is_kept(says, keeps, masks):
    found = rollout(lambda num: Simulator(num, says, keeps, masks))
    assert found.observations[..., 0].tolist() == [[0, 1, 2, 2, 2], [0, 1, 2, 3, 4]]
    assert found.mask.sum(1).tolist() == [2, 4]
    assert found.terminal.tolist() == [True, False]


@pytest.mark.parametrize(
    ("says", "words"),
    [(None, "does not say when it resets"), (AutoresetMode.SAME_STEP, "resets in the same step")],
)
def test_an_episode_without_a_last_observation_is_refused(says, words):
    with pytest.raises(UserError, match=rf"{words}, and gives no last observation of episode 0.*info\['final_obs'\]"):
        rollout(lambda num: Simulator(num, says))


def test_an_end_in_the_last_step_of_the_horizon_needs_it_too():
    assert rollout(lambda num: Simulator(num, None, "final_obs"), horizon=2).observations[0, :, 0].tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="no last observation of episode 0"):
        rollout(lambda num: Simulator(num), horizon=2)


class Reusing(gymnasium.Env):
    """Counts from a number drawn at the start, for 2 or more steps; writes all observations to one buffer."""

    observation_space = spaces.Box(-1e6, 1e6, (1,), np.float64)
    action_space = spaces.Discrete(2)

    def __init__(self):
        self.buffer = np.zeros(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.buffer[:] = 0, self.np_random.random()
        return self.buffer, {}

    def step(self, action):
        self.time += 1
        self.buffer += 1
        return self.buffer, 0.0, self.time == 2, False, {}


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_a_buffer_that_the_reset_writes_over_is_noticed(kind):
    def factory(mode):
        return lambda num: kind([Reusing] * num, autoreset_mode=mode)

    with pytest.raises(
        UserError, match="last observation of episode 0 the first one of the next: it writes both to one"
    ):
        rollout(factory(AutoresetMode.SAME_STEP))
    for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED):  # which do not need a second buffer
        found = rollout(factory(mode)).observations[..., 0]
        assert torch.allclose(found - found[:, :1], torch.tensor([0.0, 1, 2, 2, 2]), atol=1e-6)


# ---- running statistics


def wrapped(wrapper, **held):
    def make():
        environment = wrapper(gymnasium.make("Pendulum-v1", max_episode_steps=-1))
        for name, value in held.items():
            setattr(environment, name, value)
        return environment

    return make


class VecNormalize:
    """In the manner of Stable-Baselines 3: what it holds, around a vector environment."""

    def __init__(self, venv, training=True):
        self.venv, self.training, self.obs_rms, self.ret_rms = venv, training, object(), object()
        self.norm_obs, self.norm_reward = True, False

    def __getattr__(self, name):
        return getattr(self.venv, name)


NORMALISES = {
    "vector": lambda num: gymnasium.wrappers.vector.NormalizeObservation(SyncVectorEnv([Reusing] * num)),
    "each": lambda num: SyncVectorEnv([wrapped(gymnasium.wrappers.NormalizeObservation)] * num),
    "in processes": lambda num: AsyncVectorEnv([wrapped(gymnasium.wrappers.NormalizeObservation)] * num),
    "below another": lambda num: gymnasium.wrappers.vector.ClipReward(
        gymnasium.wrappers.vector.NormalizeObservation(SyncVectorEnv([Reusing] * num)), 0, 1
    ),
    "another library's": lambda num: VecNormalize(SyncVectorEnv([Reusing] * num)),
}


@pytest.mark.parametrize("case", NORMALISES)
def test_running_statistics_of_observations_are_refused(case):
    with pytest.raises(
        ValueError, match=r"has the wrapper (NormalizeObservation|VecNormalize), whose statistics keep changing"
    ):
        GymnasiumEnvironment(factory=NORMALISES[case])


def test_statistics_that_are_held_constant_are_no_matter():
    held = wrapped(gymnasium.wrappers.NormalizeObservation, update_running_mean=False)
    GymnasiumEnvironment(factory=lambda num: SyncVectorEnv([held] * num))
    GymnasiumEnvironment(factory=lambda num: VecNormalize(SyncVectorEnv([Reusing] * num), training=False))


def test_running_statistics_of_rewards_are_said():
    with pytest.warns(
        UserWarning, match="has the wrapper NormalizeReward: returns are sums of rewards whose scale keeps"
    ):
        GymnasiumEnvironment(factory=lambda num: SyncVectorEnv([wrapped(gymnasium.wrappers.NormalizeReward)] * num))
