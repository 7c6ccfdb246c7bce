"""Tabular worlds, where everything is known: exact IRL timed, and guided cost learning from draws against the exact
answers.

    python benchmarks/tabular.py [--seeds 0 1 2] [--parts exact sampled] [--worlds certain "slip 0.2"]

Exact: state costs from the expert's occupancy, as the library ``imitation`` is given it on the same two worlds. L1 is
the sum over states of the distance of visits summed over time, and per step the largest sum over states and actions of
one step.

Sampled: the IRL view sees demonstrations and draws alone. Its cost is a table of states and actions. Reported are its
importance estimate of log Z against the exact ``log_z`` of the cost it learned, what its policy attains against the
exact ``soft_value`` of that cost, the largest L1 distance in a step from the occupancy of the best policy for it, and
the gap log_z - soft_value. CPU seconds of the process, one thread.
"""

from __future__ import annotations

import argparse
import functools
import time
from typing import Any

import pytorch_lightning as pl
import torch

from lightning_irl.costs import TabularStepCost, TrajectoryCost
from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule
from lightning_irl.dynamic_programming import (
    causal_backup,
    causal_entropy,
    expected_cost,
    log_z,
    maximum_causal_entropy,
    model_occupancy,
    occupancy,
    soft_value,
    trajectory_maxent,
)
from lightning_irl.environments import CliffWorld, GridWorld, RandomMDP, TabularMDP
from lightning_irl.learners import PPO, ScoreFunction, SoftValueIteration
from lightning_irl.optim.schedules import DecayToZero
from lightning_irl.partition import importance
from lightning_irl.policies import TabularPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.views import IRL

EXACT = {
    "random 100 x 4, horizon 20": (functools.partial(RandomMDP, seed=42), 20),
    "CliffWorld 4 x 7, horizon 40": (CliffWorld, 40),
}
WORLDS = {
    "certain": GridWorld(4, 4, start=[0, 0]),
    "slip 0.2": GridWorld(4, 4, slip=0.2, start=[0, 0]),
    "slip 0.2, goal 6": GridWorld(4, 4, slip=0.2, goals=[[3, 3, 6.0]], start=[0, 0]),  # log_z far from soft_value
}
HORIZON, DEMONSTRATIONS, DRAWS, ROUNDS = 8, 1000, 500, 300
LEARNERS: dict[str, Any] = {
    "PPO": (functools.partial(PPO, passes=4, minibatches=4), 1e-2),
    "ScoreFunction": (ScoreFunction, 3e-2),
    "SoftValueIteration": (SoftValueIteration, 1e-2),
}


def exact() -> None:
    """Both kinds of exact IRL on the worlds that peers were timed on."""
    print("| world | kind | CPU s | L1 of the visits | L1 per step, largest | evaluations |\n|---|---|---|---|---|---|")
    for name, (build, horizon) in EXACT.items():
        world = build()
        goals = {
            maximum_causal_entropy: occupancy(world, causal_backup(world, -world.rewards, horizon).log_policy),
            trajectory_maxent: model_occupancy(world, -world.rewards, horizon),
        }
        for solve, goal in goals.items():
            started = time.process_time()
            found = solve(world, goal, features="state")
            spent = time.process_time() - started
            assert found.is_converged, found.reason
            total = (found.occupancy - goal).sum((0, 2)).abs().sum()
            step = (found.occupancy - goal).abs().sum((1, 2)).max()
            print(f"| {name} | {solve.__name__} | {spent:.2f} | {total:.1e} | {step:.1e} | {found.evaluations} |")


def demonstrations_of(world: TabularMDP) -> Demonstrations:
    """Trajectories of the soft-optimal expert of the true reward."""
    event = make_trajectory_event(HORIZON, [world.num_states], num_actions=world.num_actions)
    expert = PolicySampler(event, world, TabularPolicy)
    with torch.no_grad():
        expert.policy.logits.copy_(causal_backup(world, -world.rewards, HORIZON).log_policy)  # type: ignore[union-attr, operator]
    found = expert.sample(DEMONSTRATIONS)[0]
    return Demonstrations(
        list(found.observations.numpy()),
        list(found.actions.numpy()),
        None,
        found.terminal.tolist(),
        "soft-optimal expert",
        {"num_actions": world.num_actions, "horizon": HORIZON},
    )


def sampled(world: TabularMDP, learner: str, seed: int, rounds: int = ROUNDS) -> dict[str, float]:
    """One run of guided cost learning, compared with the exact answers for the cost that it learned."""
    pl.seed_everything(seed, verbose=False)
    data = TrajectoryDataModule(demonstrations_of(world), fractions=(0, 0), steps_per_epoch=rounds, normalise=False)
    factory, rate = LEARNERS[learner]
    decay = functools.partial(DecayToZero, total=rounds)
    view = IRL(
        data.event,
        functools.partial(TrajectoryCost, step_cost=TabularStepCost),
        functools.partial(PolicySampler, environment=world, policy=TabularPolicy),
        learner=factory,
        objective="guided_cost",
        num_samples=DRAWS,
        cost_optimizer=functools.partial(torch.optim.Adam, lr=5e-2),
        cost_scheduler=decay,
        sampler_optimizer=functools.partial(torch.optim.Adam, lr=rate),
        sampler_scheduler=decay,
        sampler_steps=4 if learner == "ScoreFunction" else 1,
    )
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    started = time.process_time()
    trainer.fit(view, data)
    return {"seconds": time.process_time() - started} | compare(world, view)


@torch.no_grad()
def compare(world: TabularMDP, view: IRL) -> dict[str, float]:
    """Against dynamic programming on the learned cost; all in nats but the last, which is a
    distance of probabilities.
    """
    costs = view.cost.step_cost.table.double()  # type: ignore[union-attr]
    log_policy = view.sampler.policy.logits.double().log_softmax(-1)  # type: ignore[union-attr, operator]
    estimate = importance(view.energy, view.sampler, num_samples=20_000)
    truth, best = log_z(world, costs, HORIZON), causal_backup(world, costs, HORIZON).log_policy
    attained = causal_entropy(world, log_policy) - expected_cost(world, costs, log_policy)
    value = soft_value(world, costs, HORIZON)
    distance = (occupancy(world, log_policy) - occupancy(world, best)).abs().sum((1, 2))
    return {
        "log_z_error": estimate.log_z - float(truth),
        "log_z_stderr": estimate.stderr,
        "regret": float(value - attained),
        "gap": float(truth - value),
        "l1": float(distance.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", default=["exact", "sampled"], choices=["exact", "sampled"])
    parser.add_argument("--learners", nargs="+", default=list(LEARNERS), choices=list(LEARNERS))
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    if "exact" in given.parts:
        exact()
    if "sampled" in given.parts:
        print(
            "\n| world | learner | seed | log Z: estimate - exact | +- | soft value: exact - attained | L1 per step, "
            "largest ",
            end="",
        )
        print("| log_z - soft_value | CPU s |\n|---|---|---|---|---|---|---|---|---|")
        for name in given.worlds:
            world = WORLDS[name]
            for learner in given.learners:
                for seed in given.seeds:
                    found = sampled(world, learner, seed)
                    print(
                        f"| {name} | {learner} | {seed} | {found['log_z_error']:+.4f} | {found['log_z_stderr']:.4f} | "
                        f"{found['regret']:.4f} | {found['l1']:.4f} | {found['gap']:.4f} | {found['seconds']:.1f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
