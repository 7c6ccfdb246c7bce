"""A round of PPO by this project's learner and by torchrl's ``GAE`` and ``ClipPPOLoss``: the same networks, steps and
numbers.

    pip install torchrl
    python benchmarks/ppo_torchrl.py [--rounds 9]

128 episodes of Pendulum, 200 steps each: advantages, then 4 passes of 8 minibatches with Adam. Policy and critic are
perceptrons 3-64-64-1; torchrl has no Gaussian with atoms at the bounds, so both sides have a plain one. Rounds
alternate; medians of CPU seconds and of their ratios, one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from tensordict import TensorDict
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torch import nn
from torchrl.modules import IndependentNormal, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from lightning_irl.environments import Pendulum
from lightning_irl.learners import PPO
from lightning_irl.networks import mlp
from lightning_irl.policies import GaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.spaces.trajectory import Trajectory

EPISODES, HORIZON, PASSES, PARTS = 128, 200, 4, 8


class Unbounded(Pendulum):
    """Pendulum for a Gaussian without bounds, which it clips."""

    action_low = action_high = ()


def ours(sampler: PolicySampler, trajectory: Trajectory) -> Callable[[], None]:
    learner = PPO(sampler.event, passes=PASSES, minibatches=PARTS)
    optimizer = torch.optim.Adam([*sampler.parameters(), *learner.parameters()], lr=1e-3)

    def objective(steps: Trajectory, log_pi: torch.Tensor) -> torch.Tensor:
        return steps.observations[:, 0, 0] + log_pi

    def one_round() -> None:
        for _ in range(learner.begin(sampler, objective, trajectory)):
            loss = learner.loss(sampler, objective, EPISODES)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return one_round


def torchrls(trajectory: Trajectory) -> Callable[[], None]:
    network = nn.Sequential(mlp([3, 64, 64, 2], nn.ReLU), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(network, ["observation"], ["loc", "scale"]),
        in_keys=["loc", "scale"],
        distribution_class=IndependentNormal,
        return_log_prob=True,
    )
    critic = ValueOperator(mlp([3, 64, 64, 1], nn.ReLU), in_keys=["observation"])
    loss_of = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_bonus=False, normalize_advantage=True)
    advantage = GAE(gamma=1.0, lmbda=0.95, value_network=critic)
    optimizer = torch.optim.Adam(loss_of.parameters(), lr=1e-3)
    observation = trajectory.observations
    done = torch.zeros(EPISODES, HORIZON, 1, dtype=torch.bool)
    done[:, -1] = True

    def one_round() -> None:
        steps = TensorDict(
            {
                "observation": observation[:, :-1],
                "action": trajectory.actions,
                "next": {
                    "observation": observation[:, 1:],
                    "reward": -observation[:, :-1, :1],
                    "done": done,
                    "terminated": done,
                },
            },
            [EPISODES, HORIZON],
        )
        with torch.no_grad():
            found = actor.get_dist(steps).log_prob(steps["action"])
            steps["action_log_prob"] = found
            advantage(steps)
        flat = steps.flatten()
        for _ in range(PASSES):
            for part in torch.randperm(EPISODES * HORIZON).chunk(PARTS):
                losses = loss_of(flat[part])
                (losses["loss_objective"] + losses["loss_critic"]).backward()
                optimizer.step()
                optimizer.zero_grad()

    return one_round


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    event = make_trajectory_event(HORIZON, [3], action_shape=[1])
    sampler = PolicySampler(event, Unbounded(), GaussianPolicy)
    trajectory, _ = sampler.sample(EPISODES)
    sides = {"lightning-irl": ours(sampler, trajectory), "torchrl": torchrls(trajectory)}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(given.rounds + 1):
        for name, one_round in sides.items():
            started = time.process_time()
            one_round()
            seconds[name].append(time.process_time() - started)
    for name, found in seconds.items():
        print(f"{name}: {statistics.median(found[1:]):.3f} CPU s a round")
    pairs = zip(seconds["torchrl"][1:], seconds["lightning-irl"][1:], strict=True)
    print(f"torchrl / lightning-irl: {statistics.median(theirs / mine for theirs, mine in pairs):.2f}")


if __name__ == "__main__":
    main()
