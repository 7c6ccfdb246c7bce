"""Imitation of HalfCheetah (MuJoCo, 1000 steps an episode): transition level, trajectory level and GAIL beside each
other.

    pip install -e ".[mujoco]"
    python benchmarks/half_cheetah.py --store half_cheetah [--runs transition trajectory gail] [--seed 0]

An expert is trained on the true reward first, and its episodes become the demonstrations, ``STORE/expert.npz``. Every
run has the same policy, learner and number of rounds; return of policy and mode are measured every few rounds on the
same starts. CPU seconds are those of the training rounds, one thread; evaluation is left out. A run that was stopped
goes on from its last evaluation, one that is done is not repeated, and ``STORE/curves.png`` shows what there is.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_irl.command.quiet import quiet
from lightning_irl.costs import MLPStepCost, TrajectoryCost, TrueRewardCost
from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule, read_npz, write_npz
from lightning_irl.environments import GymnasiumEnvironment
from lightning_irl.learners import PPO
from lightning_irl.optim.schedules import DecayToZero
from lightning_irl.policies import ClippedGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event, make_trajectory_event
from lightning_irl.views import IRL

ID, HORIZON = "HalfCheetah-v5", 1000
TEMPERATURE = 0.1  # of the expert
EPISODES, EVERY, JUDGED = 32, 10, 16  # a round; rounds between evaluations; episodes of an evaluation
SCALE = [0.1, 0.3, *[0.5] * 6, 2.0, 1.0, 2.0, *[8.0] * 6]  # of what a runner observes
RUNS: dict[str, dict[str, Any]] = {
    "transition": {"level": "transition", "cost_steps": 16, "cost_batch": 4000},
    "trajectory": {"level": "trajectory", "objective": "guided_cost", "cost_steps": 2},
    "gail": {
        "level": "transition",
        "cost_steps": 16,
        "cost_batch": 4000,
        "discriminator": "plain",
        "generator_loss": "saturating",
    },
}


class HalfCheetah(GymnasiumEnvironment):
    """With its reward as far as observations tell it: the mean of the speeds before and after a step, for that over the
    step.
    """

    def __init__(self) -> None:
        super().__init__(ID)

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        speed = (observation[..., 8] + next_observation[..., 8]) / 2
        return speed - 0.1 * action.square().sum(-1)


class Clock(pl.Callback):
    """Return against CPU seconds of training and against environment steps; kept in the checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path, self.seconds, self.curve = path, 0.0, []  # type: ignore[var-annotated]

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "curve": self.curve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds, self.curve = state_dict["seconds"], state_dict["curve"]

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.began = time.process_time()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seconds += time.process_time() - self.began

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        steps = pl_module.batches * EPISODES * HORIZON
        self.curve.append({"steps": steps, "seconds": self.seconds} | returns(pl_module))
        trainer.save_checkpoint(self.path)


def returns(view: IRL) -> dict[str, float]:
    """Means and standard errors, of the mode and of the policy as trained."""
    found = {}
    with torch.random.fork_rng(devices=[]):
        for name, deterministic in (("mode", True), ("stochastic", False)):
            torch.manual_seed(0)
            totals = view.sampler.rollout(JUDGED, deterministic).rewards.sum(1).double()  # type: ignore[operator]
            found |= {name: float(totals.mean()), f"{name}_stderr": float(totals.std() / math.sqrt(JUDGED))}
    return found


def make_view(event: Event, step_cost: Any, rounds: int, **options: Any) -> IRL:
    decay = functools.partial(DecayToZero, total=rounds)
    return IRL(
        event,
        functools.partial(TrajectoryCost, step_cost=step_cost),
        functools.partial(
            PolicySampler,
            environment=HalfCheetah(),
            policy=functools.partial(ClippedGaussianPolicy, activation=torch.nn.Tanh),
        ),
        learner=functools.partial(PPO, passes=6, minibatches=32, discount=0.99, activation=torch.nn.Tanh),
        num_samples=EPISODES,
        cost_optimizer=functools.partial(torch.optim.Adam, lr=1e-3, betas=(0.9, 0.99)),
        cost_scheduler=decay,
        sampler_optimizer=functools.partial(torch.optim.Adam, lr=5e-4),
        sampler_scheduler=decay,
        **options,
    )


def fit(view: IRL, data: Any, rounds: int, store: Path, name: str) -> dict[str, Any]:
    """Train, or go on with it, and write down the curve."""
    checkpoint, result = store / f"{name}.ckpt", store / f"{name}.json"
    clock = Clock(checkpoint)
    with quiet():
        trainer = pl.Trainer(
            max_epochs=rounds // EVERY,
            limit_train_batches=EVERY,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[clock],
        )
        source = {"datamodule": data} if isinstance(data, pl.LightningDataModule) else {"train_dataloaders": data}
        trainer.fit(view, **source, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
    found = {"name": name, "curve": clock.curve}
    result.write_text(json.dumps(found))
    return found


def train_expert(store: Path, rounds: int) -> None:
    """The true reward's soft-optimal policy, near enough, and its episodes."""
    pl.seed_everything(0, verbose=False)
    environment = HalfCheetah()
    event = make_trajectory_event(
        HORIZON,
        environment.observation_shape,
        action_shape=environment.action_shape,
        action_low=environment.action_low,
        action_high=environment.action_high,
        observation_location=[0.0] * len(SCALE),
        observation_scale=SCALE,
    )
    cost = functools.partial(TrueRewardCost, environment=environment)
    view = make_view(event, cost, rounds, temperature=TEMPERATURE, cost_steps=0)
    nothing = DataLoader(
        [torch.zeros(1)] * EVERY,  # type: ignore[arg-type]
        batch_size=1,
        collate_fn=lambda _: Batch(torch.zeros(1), torch.zeros(1)),
    )
    fit(view, nothing, rounds, store, "expert")
    torch.manual_seed(1)
    trajectory, _, rewards = view.sampler.rollout(EPISODES)  # type: ignore[operator]
    layout = {"horizon": HORIZON, "environment": ID}
    layout |= {"action_low": list(environment.action_low), "action_high": list(environment.action_high)}
    episodes = list(trajectory.observations.numpy()), list(trajectory.actions.numpy()), list(rewards.numpy())
    write_npz(store / "expert.npz", Demonstrations(*episodes, [False] * EPISODES, ID, layout))


def imitate(store: Path, name: str, rounds: int, seed: int) -> None:
    pl.seed_everything(seed, verbose=False)
    data = TrajectoryDataModule(
        str(store / "expert.npz"), num_demonstrations=10, fractions=(0, 0), steps_per_epoch=EVERY
    )
    fit(make_view(data.event, MLPStepCost, rounds, **RUNS[name]), data, rounds, store, f"{name}_{seed}")


def draw(curves: list[dict[str, Any]], store: Path) -> None:
    """Return against environment steps and CPU time; random policy 0, expert 1."""
    levels = [curve["curve"] for curve in curves]
    low, high = random_return(), expert_return(store)
    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for curve, points in zip(curves, levels, strict=True):
        colour = f"C{list(RUNS).index(curve['name'].rpartition('_')[0])}"
        for kind, style in (("mode", "-"), ("stochastic", ":")):
            scores = [(point[kind] - low) / (high - low) for point in points]
            label = f"{curve['name'].replace('_', ', seed ')}, {kind}"
            panels[0].plot([point["steps"] / 1e6 for point in points], scores, style, color=colour, label=label)
            panels[1].plot([point["seconds"] / 60 for point in points], scores, style, color=colour)
    for axes, label in zip(panels, ("environment steps, millions", "CPU minutes of training, one thread"), strict=True):
        axes.axhline(1, color="grey", linewidth=0.8, linestyle="--")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"{ID}: normalised return")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(store / "curves.png", dpi=120)


def random_return() -> float:
    """Mean return of actions drawn uniformly."""
    environment = HalfCheetah()
    torch.manual_seed(0)
    state, _ = environment.reset(JUDGED)
    total = torch.zeros(JUDGED)
    for _ in range(HORIZON):
        step = environment.step(state, 2 * torch.rand(JUDGED, *environment.action_shape) - 1)
        state, total = step.state, total + step.reward
    return float(total.mean())


def expert_return(store: Path) -> float:
    """Mean return of the demonstrations."""
    rewards = read_npz(store / "expert.npz").rewards
    assert rewards is not None
    return sum(float(reward.sum()) for reward in rewards) / len(rewards)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("half_cheetah"))
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=400, help="of 32 episodes, for each run")
    parser.add_argument("--expert_rounds", type=int, default=400)
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.store.mkdir(parents=True, exist_ok=True)
    if not (given.store / "expert.npz").exists():
        train_expert(given.store, given.expert_rounds)
    for name in given.runs:
        if not (given.store / f"{name}_{given.seed}.json").exists():
            imitate(given.store, name, given.rounds, given.seed)
    done = [json.loads(path.read_text()) for path in sorted(given.store.glob("*_*.json"))]
    low, high = random_return(), expert_return(given.store)
    print(f"random {low:.0f}, demonstrations {high:.0f}")
    for curve in done:
        last = curve["curve"][-1]
        scores = [
            f"{kind} {last[kind]:.0f} ({(last[kind] - low) / (high - low):.2f})" for kind in ("mode", "stochastic")
        ]
        print(
            f"{curve['name']}: {', '.join(scores)}, {last['steps'] / 1e6:.1f} M steps, {last['seconds'] / 60:.1f} CPU "
            "min"
        )
    draw(done, given.store)


if __name__ == "__main__":
    main()
