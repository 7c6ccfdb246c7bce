"""Linear-quadratic worlds, where everything is known: guided cost learning from draws against both Riccati recursions.

    python benchmarks/linear_quadratic.py [--seeds 0 1 2] [--learners SoftRiccati PPO ...] [--worlds certain chance]

A mass is brought to rest; the expert is the soft-optimal one of the true reward, and 1000 of its trajectories are
given. The IRL view sees these and draws alone; its cost is quadratic, with the true price of the action, as guided cost
learning has it. Reported are its importance estimate of log Z against the exact ``log_z`` of the cost it learned; what
its policy attains (exactly, and as a mean over draws) against the exact ``soft_value`` of that cost; the distance of
the policy's gains from the best for that cost and from the expert's, as a share of these, weighed by how states spread;
and the statistical error that these demonstrations leave of the latter: the distance from the expert's of the gains for
the cost that minimises the same loss exactly.

Where start and noise are by chance, maximum likelihood (``importance``) thinks that they answer to the cost too, and
its gains are not the expert's with any number of demonstrations. Maximum causal entropy (``uniform``: E_p[c] - E_q[c]
at the best policy) recovers them. CPU seconds of the process, one thread.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightning_irl.costs import QuadraticStepCost, TrajectoryCost
from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule
from lightning_irl.dynamic_programming.newton import Point, newton
from lightning_irl.dynamic_programming.riccati import (
    Controller,
    QuadraticSteps,
    attained_value,
    log_z,
    soft_riccati,
    soft_value,
    true_steps,
)
from lightning_irl.environments import LinearQuadratic
from lightning_irl.learners import PPO, Reparameterised, SoftRiccati
from lightning_irl.optim.schedules import DecayToZero
from lightning_irl.partition.importance import importance_log_weights, summarise_importance
from lightning_irl.policies import TimeVaryingLinearGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.spaces.trajectory import Trajectory
from lightning_irl.views import IRL

HORIZON, TEMPERATURE, PRICE = 20, 0.3, 0.1  # of the action
DEMONSTRATIONS, DRAWS, ROUNDS, JUDGED = 1000, 500, 500, 50_000
RATE = 1e-1  # of the cost
mass = functools.partial(LinearQuadratic, action_cost=[[PRICE]])
WORLDS = {
    "certain": mass(initial_mean=[1, 0], initial_covariance=[[0, 0], [0, 0]]),
    "chance": mass(initial_covariance=[[0.04, 0], [0, 0.04]], noise_covariance=[[0, 0], [0, 0.003]]),
}
PHASES = {"certain": ["importance"], "chance": ["importance", "uniform"]}
LEARNERS: dict[str, Any] = {  # factory, learning rate, descents a round
    "SoftRiccati": (SoftRiccati, 1e-2, 1),
    "Reparameterised": (Reparameterised, 1e-1, 4),
    "PPO": (functools.partial(PPO, passes=4, minibatches=4), 5e-2, 1),
}


def expert_of(world: LinearQuadratic) -> Controller:
    """The soft-optimal policy of the true reward."""
    return soft_riccati(world, true_steps(world, HORIZON, TEMPERATURE))[1]


def demonstrations_of(world: LinearQuadratic) -> Trajectory:
    """Trajectories of the expert."""
    event = make_trajectory_event(HORIZON, world.observation_shape, action_shape=world.action_shape)
    expert = PolicySampler(event, world, TimeVaryingLinearGaussianPolicy)
    expert.policy.assign(*expert_of(world))  # type: ignore[operator]
    return expert.sample(DEMONSTRATIONS)[0]


def sampled(world: LinearQuadratic, learner: str, phase: Any, seed: int, rounds: int = ROUNDS) -> dict[str, float]:
    """One run of guided cost learning, compared with the exact answers for the cost that it learned."""
    pl.seed_everything(seed, verbose=False)
    given = demonstrations_of(world)
    demonstrations = Demonstrations(
        list(given.observations.numpy()),
        list(given.actions.numpy()),
        None,
        given.terminal.tolist(),
        "soft-optimal expert",
        {"horizon": HORIZON},
    )
    data = TrajectoryDataModule(demonstrations, fractions=(0, 0), steps_per_epoch=rounds)
    factory, rate, descents = LEARNERS[learner]
    decay = functools.partial(DecayToZero, total=rounds)
    step_cost = functools.partial(QuadraticStepCost, hidden=[], action_weight=PRICE / 2)
    view = IRL(
        data.event,
        functools.partial(TrajectoryCost, step_cost=step_cost),
        functools.partial(PolicySampler, environment=world, policy=TimeVaryingLinearGaussianPolicy),
        learner=factory,
        objective="guided_cost",
        negative_phase=phase,
        temperature=TEMPERATURE,
        num_samples=DRAWS,
        cost_optimizer=functools.partial(torch.optim.Adam, lr=RATE),
        cost_scheduler=decay,
        sampler_optimizer=functools.partial(torch.optim.Adam, lr=rate),
        sampler_scheduler=decay,
        sampler_steps=descents,
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
    seconds = time.process_time() - started
    exact = exact_gains(world, given, log_z if phase == "importance" else soft_value)
    return {
        "seconds": seconds,
        "open": distance(world, exact, expert_of(world).gains),
    } | compare(world, view)


def distance(world: LinearQuadratic, gains: Tensor, expected: Tensor) -> float:
    """Of gains (T, d, n), where states differ from their mean: the root of E|(K - K*)(s - E s)|^2 summed over time, as
    a share of K*'s.

    States are the expert's. Where none differ, as at a certain start, gains and offsets cannot be told apart, and do
    not count.
    """
    expert = expert_of(world)
    both = torch.cat([world.state_matrix, world.action_matrix], 1)
    covariance, off, whole = world.initial_covariance, gains.new_zeros(()), gains.new_zeros(())
    for gain, spread, found, wanted in zip(expert.gains, expert.covariances, gains, expected, strict=True):
        off = off + ((found - wanted) @ covariance @ (found - wanted).mT).trace()
        whole = whole + (wanted @ covariance @ wanted.mT).trace()
        feed = torch.cat([torch.eye(len(covariance)).to(gain), gain])
        joint = feed @ covariance @ feed.mT
        joint[-len(spread) :, -len(spread) :] += spread
        covariance = both @ joint @ both.mT + world.noise_covariance
    return float((off / whole).sqrt())


def exact_gains(
    world: LinearQuadratic, given: Trajectory, value: Callable[[LinearQuadratic, QuadraticSteps], Tensor]
) -> Tensor:
    """Gains (T, d, n) for the quadratic cost of states that minimises E_p[c / T_] + ``value`` exactly, by Newton from
    the true cost.
    """
    states = given.observations[:, :-1].double()
    second, first = (states.mT @ states).mean(0), states.sum(1).mean(0)
    size, price = len(first), world.action_cost / TEMPERATURE
    rows, columns = torch.tril_indices(size, size)
    truth = world.state_cost / TEMPERATURE

    def steps_of(free: Tensor) -> QuadraticSteps:
        lower = torch.zeros_like(truth).index_put((rows, columns), free[: len(rows)])
        hessian = torch.block_diag(lower + lower.tril(-1).mT, price)
        slope = torch.cat([free[len(rows) :], torch.zeros_like(price[0])])
        return QuadraticSteps(hessian.expand(HORIZON, -1, -1), slope.expand(HORIZON, -1), hessian.new_zeros(HORIZON))

    def loss(free: Tensor) -> Tensor:
        steps = steps_of(free)
        hessian, slope = steps.hessian[0, :size, :size], steps.slope[0, :size]
        return (hessian * second).sum() / 2 + slope @ first + value(world, steps)

    def point_of(free: Tensor) -> Point:
        try:
            found = float(loss(free))
        except ValueError:  # infinite: no step goes there
            return Point(free, torch.inf, torch.zeros_like(free), lambda: torch.eye(len(free)).to(free))
        return Point(free, found, torch.func.grad(loss)(free), lambda: torch.autograd.functional.hessian(loss, free))

    start = torch.cat([truth[rows, columns], torch.zeros_like(first)])
    found, _ = newton(point_of, start, tolerance=1e-6, max_steps=100)
    assert found.slope <= 1e-6
    return soft_riccati(world, steps_of(found.weights))[1].gains


@torch.no_grad()
def compare(world: LinearQuadratic, view: IRL) -> dict[str, float]:
    """Against both recursions for the learned cost, in nats; gains as a share."""
    view.double()
    steps, _ = SoftRiccati(view.event).quadratic_steps(world, view.step_objective, HORIZON, torch.float64)
    policy = view.sampler.policy
    found = Controller(policy.gains, policy.offsets, policy.covariances)  # type: ignore[union-attr, arg-type]
    weights = importance_log_weights(view.energy, view.sampler, JUDGED)
    estimate = summarise_importance(weights)
    truth, value, best = log_z(world, steps), soft_value(world, steps), soft_riccati(world, steps)[1]
    return {
        "log_z_error": estimate.log_z - float(truth),
        "log_z_stderr": estimate.stderr,
        "regret": float(value - attained_value(world, steps, found)),
        "value_error": float(weights.mean() - value),
        "value_stderr": float(weights.std() / len(weights) ** 0.5),
        "gap": float(truth - value),
        "best": distance(world, found.gains, best.gains),
        "expert": distance(world, found.gains, expert_of(world).gains),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--learners", nargs="+", default=list(LEARNERS), choices=list(LEARNERS))
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| world | negative phase | learner | seed | log Z: estimate - exact | soft value: drawn - exact | exact - "
        "attained "
        "| log_z - soft_value | gains: from the best | from the expert's | left open | CPU s |\n" + "|---" * 12 + "|"
    )
    for name in given.worlds:
        for phase in PHASES[name]:
            for learner in given.learners:
                for seed in given.seeds:
                    found = sampled(WORLDS[name], learner, phase, seed)
                    print(
                        f"| {name} | {phase} | {learner} | {seed} | {found['log_z_error']:+.4f} +- "
                        f"{found['log_z_stderr']:.4f} | "
                        f"{found['value_error']:+.4f} +- {found['value_stderr']:.4f} | {found['regret']:.4f} | "
                        f"{found['gap']:.4f} | "
                        f"{found['best']:.2%} | {found['expert']:.2%} | {found['open']:.2%} | {found['seconds']:.1f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
