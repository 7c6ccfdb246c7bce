"""The library ``imitation`` on the tasks of ``imitation_tasks.py``, into the same store; run by its ``--peer_python``.

    python -m venv peers && peers/bin/pip install imitation==1.0.1
    python benchmarks/imitation_tasks.py --demonstrations FOLDER --store FILE --peer_python peers/bin/python

Its GAIL and AIRL with 8 environments, and its behavioural cloning. The learner's settings are, for CartPole, those that
its own tutorials use, for Pendulum those of its benchmark's expert. The same ten demonstrations, the same 50 starts,
the policy's mode; CPU seconds of training alone, on one thread. A run ends at its threshold, confirmed twice, or at the
limit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from imitation.algorithms import bc
from imitation.algorithms.adversarial.airl import AIRL
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data import rollout, types
from imitation.rewards.reward_nets import BasicRewardNet, BasicShapedRewardNet
from imitation.util import logger
from imitation.util.networks import RunningNorm
from imitation.util.util import make_vec_env
from stable_baselines3 import PPO

ENVIRONMENTS = 8
LEARNERS: dict[str, dict[str, Any]] = {
    "cartpole": {
        "batch_size": 64,
        "ent_coef": 0.0,
        "learning_rate": 5e-4,
        "gamma": 0.95,
        "clip_range": 0.1,
        "vf_coef": 0.1,
    }
    | {"n_epochs": 5, "n_steps": 256},
    "pendulum": {
        "batch_size": 64,
        "ent_coef": 0.0,
        "learning_rate": 1e-3,
        "gamma": 0.9,
        "clip_range": 0.2,
        "n_epochs": 10,
    }
    | {"n_steps": 256, "use_sde": True, "sde_sample_freq": 4},
}


def read(path: Path, num: int) -> list[types.TrajectoryWithRew]:
    with np.load(path, allow_pickle=False) as file:
        actions, rewards = (np.split(file[key], file["indices"]) for key in ("acts", "rews"))
        ends = np.cumsum([len(part) + 1 for part in actions])
        observations = np.split(file["obs"], ends[:-1])
    return [
        types.TrajectoryWithRew(obs=o, acts=a, rews=r.astype(float), infos=None, terminal=True)
        for o, a, r in zip(observations[:num], actions[:num], rewards[:num], strict=True)
    ]


class Clock:
    """CPU seconds of training, and the mode's returns on the fixed starts, which do not count."""

    def __init__(self, policy: Any, facts: dict[str, Any], limit: float) -> None:
        self.policy, self.facts, self.limit = policy, facts, limit
        self.environments = gymnasium.make_vec(facts["id"], num_envs=50, vectorization_mode="sync")
        self.curve: list[dict[str, float]] = []
        self.aside = 0.0
        self.began = time.process_time()

    @property
    def seconds(self) -> float:
        return time.process_time() - self.began - self.aside

    def look(self, steps: int) -> bool:
        """Add a point to the curve; whether to stop."""
        seconds, before = self.seconds, time.process_time()
        observations, _ = self.environments.reset(seed=list(range(50)))
        returns, alive = np.zeros(50), np.ones(50, dtype=bool)
        while alive.any():
            actions, _ = self.policy.predict(observations, deterministic=True)
            observations, rewards, terminated, truncated, _ = self.environments.step(actions)
            returns += np.where(alive, rewards, 0.0)
            alive &= ~(terminated | truncated)
        mode = float(returns.mean())
        score = (mode - self.facts["random"]) / (self.facts["expert"] - self.facts["random"])
        stderr = float(returns.std() / math.sqrt(50))
        self.curve.append({"seconds": seconds, "steps": steps, "mode": mode, "mode_stderr": stderr, "score": score})
        self.aside += time.process_time() - before
        recent = self.curve[-2:]
        reached = len(recent) == 2 and all(point["score"] >= self.facts["threshold"] for point in recent)
        return reached or seconds > self.limit


class Stop(Exception):  # noqa: N818
    """The run is over."""


def adversarial(method: str, facts: dict[str, Any], demonstrations: list[Any], seed: int, limit: float) -> Clock:
    environments = make_vec_env(facts["id"], n_envs=ENVIRONMENTS, rng=np.random.default_rng(seed))
    learner = PPO("MlpPolicy", environments, seed=seed, device="cpu", **LEARNERS[facts["task"]])
    network = BasicShapedRewardNet if method == "airl" else BasicRewardNet
    steps = sum(len(part) for part in demonstrations)
    trainer = {"airl": AIRL, "gail": GAIL}[method](
        demonstrations=demonstrations,
        demo_batch_size=min(2048 if method == "airl" else 1024, steps),
        gen_replay_buffer_capacity=2048,
        n_disc_updates_per_round=16 if method == "airl" else 8,
        venv=environments,
        gen_algo=learner,
        reward_net=network(
            environments.observation_space, environments.action_space, normalize_input_layer=RunningNorm
        ),
        allow_variable_horizon=True,
        custom_logger=logger.configure(None, []),
    )
    clock = Clock(learner.policy, facts, limit)

    def after_round(index: int) -> None:
        if (index + 1) % 2 == 0 and clock.look((index + 1) * trainer.gen_train_timesteps):
            raise Stop

    with contextlib.suppress(Stop):
        trainer.train(100_000_000, callback=after_round)
    return clock


def cloning(facts: dict[str, Any], demonstrations: list[Any], seed: int, limit: float) -> Clock:
    environment = gymnasium.make(facts["id"])
    trainer = bc.BC(
        observation_space=environment.observation_space,
        action_space=environment.action_space,
        demonstrations=rollout.flatten_trajectories(demonstrations),
        rng=np.random.default_rng(seed),
        custom_logger=logger.configure(None, []),
    )
    clock = Clock(trainer.policy, facts, limit)
    while True:
        trainer.train(n_epochs=2, progress_bar=False)
        if clock.look(0):
            return clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=json.loads, required=True, help="of the task, as JSON, with its name and file")
    parser.add_argument("--method", choices=["gail", "airl", "bc"], required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--demonstrations", type=int, default=10)
    parser.add_argument("--limit", type=float, default=120, help="CPU seconds")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    np.random.seed(given.seed)
    demonstrations = read(Path(given.facts["file"]), given.demonstrations)
    if given.method == "bc":
        clock = cloning(given.facts, demonstrations, given.seed, given.limit)
    else:
        clock = adversarial(given.method, given.facts, demonstrations, given.seed, given.limit)
    print(json.dumps(clock.curve))


if __name__ == "__main__":
    main()
