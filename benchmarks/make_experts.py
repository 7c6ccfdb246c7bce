"""Train experts on the true reward with the project's own learner and write their demonstrations.

    python benchmarks/make_experts.py pendulum cartpole grid linear_quadratic

writes ``datamodules/experts/NAME.npz``: 40 episodes of the stochastic policy (200 where the policy is solved for), with
rewards. The entropy is weighed by a small temperature, so that experts are good and not deterministic.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_irl.costs import TrajectoryCost, TrueRewardCost
from lightning_irl.datamodules import Demonstrations, write_npz
from lightning_irl.environments import CartPole, Environment, GridWorld, LinearQuadratic, Pendulum, PointMassMaze
from lightning_irl.learners import PPO, SoftRiccati, SoftValueIteration
from lightning_irl.policies import (
    CategoricalPolicy,
    ClippedGaussianPolicy,
    TabularPolicy,
    TimeVaryingLinearGaussianPolicy,
)
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.views import IRL

EPISODES = {"grid": 200, "linear_quadratic": 200}  # 40 elsewhere
FOLDER = Path(__file__).resolve().parent.parent / "datamodules" / "experts"
TASKS: dict[str, dict[str, Any]] = {
    "pendulum": {
        "environment": Pendulum,
        "id": "Pendulum-v1",
        "policy": ClippedGaussianPolicy,
        "horizon": 200,
        "rounds": 60,
        "temperature": 0.05,
        "location": [0.5, 0.0, 0.0],
        "scale": [0.7, 0.7, 2.5],
    },
    "cartpole": {
        "environment": CartPole,
        "id": "CartPole-v1",
        "policy": CategoricalPolicy,
        "horizon": 500,
        "rounds": 40,
        "temperature": 0.02,
        "location": [0.0] * 4,
        "scale": [0.5, 0.5, 0.05, 0.5],
    },
    "maze": {
        "environment": PointMassMaze,
        "id": "PointMassMaze",
        "policy": ClippedGaussianPolicy,
        "horizon": 100,
        "rounds": 100,
        "temperature": 0.01,
        "location": [0.25, 0.25, 0.0, 0.0],
        "scale": [0.2, 0.2, 0.4, 0.4],
    },
    "grid": {
        "environment": functools.partial(GridWorld, 4, 4, start=[0, 0]),
        "id": "GridWorld",
        "policy": TabularPolicy,
        "learner": SoftValueIteration,
        "horizon": 12,
        "rounds": 1,
        "temperature": 0.3,
        "location": [0.0] * 16,
        "scale": [1.0] * 16,
    },
    "linear_quadratic": {
        "environment": functools.partial(
            LinearQuadratic, initial_mean=[1, 0], initial_covariance=[[0, 0], [0, 0]], action_cost=[[0.1]]
        ),
        "id": "LinearQuadratic",
        "policy": TimeVaryingLinearGaussianPolicy,
        "learner": SoftRiccati,
        "horizon": 20,
        "rounds": 1,
        "temperature": 0.3,
        "location": [0.0] * 2,
        "scale": [1.0] * 2,
    },
}


def train(name: str) -> IRL:
    """An IRL view whose cost is the true reward, held fixed, after its policy has learned it."""
    task = TASKS[name]
    environment: Environment = task["environment"]()
    event = make_trajectory_event(
        task["horizon"],
        environment.observation_shape,
        num_actions=environment.num_actions,
        action_shape=environment.action_shape,
        action_low=environment.action_low,
        action_high=environment.action_high,
        absorbing=environment.absorbing,
        observation_location=task["location"],
        observation_scale=task["scale"],
    )
    step_cost = functools.partial(TrueRewardCost, environment=environment)
    view = IRL(
        event,
        functools.partial(TrajectoryCost, step_cost=step_cost),
        functools.partial(PolicySampler, environment=environment, policy=task["policy"]),
        learner=task.get("learner", functools.partial(PPO, passes=8)),
        temperature=task["temperature"],
        num_samples=128,
        cost_steps=0,
        sampler_optimizer=functools.partial(torch.optim.Adam, lr=2e-3),
    )
    if environment.absorbing:
        torch.nn.init.zeros_(view.cost.absorbing)  # type: ignore[arg-type]
    nothing: list[Tensor] = [torch.zeros(1)] * task["rounds"]
    loader = DataLoader(nothing, batch_size=1, collate_fn=lambda _: Batch(torch.zeros(1), torch.zeros(1)))  # type: ignore[arg-type]
    trainer = pl.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False
    )
    trainer.fit(view, loader)
    return view


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or list(TASKS):
        pl.seed_everything(0)
        view, task = train(name), TASKS[name]
        torch.manual_seed(1)
        trajectory, _, rewards = view.sampler.rollout(EPISODES.get(name, 40))  # type: ignore[operator]
        lengths = trajectory.mask.sum(1).tolist()
        demonstrations = Demonstrations(
            [trajectory.observations[i, : n + 1].numpy() for i, n in enumerate(lengths)],
            [trajectory.actions[i, :n].numpy() for i, n in enumerate(lengths)],
            [rewards[i, :n].numpy() for i, n in enumerate(lengths)],
            trajectory.terminal.tolist(),
            name,
            {
                "horizon": task["horizon"],
                "environment": task["id"],
                "action_low": view.event["action_low"],
                "action_high": view.event["action_high"],
                "num_actions": view.event["num_actions"],
            },
        )
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / f"{name}.npz"
        write_npz(path, demonstrations)
        returns = rewards.sum(1)
        share = (trajectory.actions.abs() >= 2).float().mean() if name == "pendulum" else 0.0
        print(
            f"{path}: return {returns.mean():.1f} sd {returns.std():.1f}, {path.stat().st_size >> 10} KiB, at a bound "
            f"{share:.1%}"
        )


if __name__ == "__main__":
    main()
