"""Guided cost learning from demonstrations and draws alone, in linear-quadratic worlds where both Riccati recursions
know the answers.
"""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from lightning_irl.costs import QuadraticStepCost, TrajectoryCost
from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule
from lightning_irl.dynamic_programming import riccati
from lightning_irl.environments import LinearQuadratic
from lightning_irl.learners import Reparameterised, SoftRiccati
from lightning_irl.optim.schedules import DecayToZero
from lightning_irl.partition.importance import importance_log_weights, summarise_importance
from lightning_irl.policies import TimeVaryingLinearGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.views import IRL

pytestmark = pytest.mark.long

HORIZON, ROUNDS, NUM = 6, 200, 500
MASS = partial(LinearQuadratic, [[1.0, 0.3], [0.0, 1.0]], [[0.0], [0.5]], action_cost=[[0.5]])
WORLDS = {
    "certain": MASS(initial_mean=[1.0, -1.0], initial_covariance=[[0.0, 0.0], [0.0, 0.0]]),
    "chance": MASS(initial_covariance=[[0.1, 0.0], [0.0, 0.1]], noise_covariance=[[0.0, 0.0], [0.0, 0.02]]),
}
LEARNERS = {"solved": (SoftRiccati, 1), "pathwise": (Reparameterised, 2)}


def demonstrations_of(world):
    event = make_trajectory_event(HORIZON, [2], action_shape=[1])
    expert = PolicySampler(event, world, TimeVaryingLinearGaussianPolicy)
    expert.policy.assign(*riccati.soft_riccati(world, riccati.true_steps(world, HORIZON))[1])
    found = expert.sample(NUM)[0]
    return Demonstrations(
        list(found.observations.numpy()),
        list(found.actions.numpy()),
        None,
        [False] * NUM,
        "expert",
        {"horizon": HORIZON},
    )


def trained(world, learner, steps):
    pl.seed_everything(0)
    data = TrajectoryDataModule(demonstrations_of(world), fractions=(0, 0), steps_per_epoch=ROUNDS)
    decay = partial(DecayToZero, total=ROUNDS)
    view = IRL(
        data.event,
        partial(TrajectoryCost, step_cost=partial(QuadraticStepCost, hidden=[], action_weight=0.25)),
        partial(PolicySampler, environment=world, policy=TimeVaryingLinearGaussianPolicy),
        learner=learner,
        objective="guided_cost",
        num_samples=NUM,
        cost_optimizer=partial(torch.optim.Adam, lr=1e-1),
        cost_scheduler=decay,
        sampler_optimizer=partial(torch.optim.Adam, lr=1e-1),
        sampler_scheduler=decay,
        sampler_steps=steps,
    )
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    pl.Trainer(max_epochs=1, accelerator="cpu", limit_val_batches=0, **quiet).fit(view, data)
    return view.double()


def gain_errors(world):
    """Standard errors (T, 1, 2) that NUM trajectories leave of the gains: Fisher's information of the cost, through the
    recursion.

    In a certain world trajectories of the expert are draws of p_theta, and the Hessian of log Z in the cost is their
    information.
    """
    rows, columns = torch.tril_indices(2, 2)

    def steps_of(free):
        lower = torch.zeros(2, 2).double().index_put((rows, columns), free[:3])
        hessian = torch.block_diag(lower + lower.tril(-1).mT, world.action_cost)
        slope = torch.cat([free[3:], torch.zeros(1)])
        return riccati.QuadraticSteps(
            hessian.expand(HORIZON, -1, -1), slope.expand(HORIZON, -1), torch.zeros(HORIZON).double()
        )

    truth = torch.cat([world.state_cost[rows, columns], torch.zeros(2)])
    information = torch.autograd.functional.hessian(lambda free: riccati.log_z(world, steps_of(free)), truth) * NUM
    moves = torch.autograd.functional.jacobian(lambda free: riccati.soft_riccati(world, steps_of(free))[1].gains, truth)
    return (moves @ torch.linalg.inv(information) * moves).sum(-1).sqrt()


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("name", WORLDS)
def test_draws_alone_come_to_the_exact_answers(name, learner):
    world = WORLDS[name]
    view = trained(world, *LEARNERS[learner])
    steps, _ = SoftRiccati(view.event).quadratic_steps(world, view.step_objective, HORIZON, torch.float64)
    policy = view.sampler.policy
    with torch.no_grad():
        found = riccati.Controller(policy.gains, policy.offsets, policy.covariances)
        weights = importance_log_weights(view.energy, view.sampler, 50_000)
        estimate = summarise_importance(weights)
        value, log_z = riccati.soft_value(world, steps), riccati.log_z(world, steps)
        assert abs(estimate.log_z - float(log_z)) < 0.02
        assert 5 * estimate.stderr < 0.02
        assert -1e-9 <= value - riccati.attained_value(world, steps, found) < 0.02
        assert abs(weights.mean() - value) < 0.02 + 5 * weights.std() / len(weights) ** 0.5
        assert log_z - value > 0.05 if name == "chance" else log_z - value < 1e-9
    if (name, learner) == ("certain", "solved"):
        expert = riccati.soft_riccati(world, riccati.true_steps(world, HORIZON))[1]
        # twice the variance: the draws of the last rounds are as few as the demonstrations
        assert ((found.gains - expert.gains).abs() <= 5 * 2**0.5 * gain_errors(world) + 1e-6).all()
        assert (gain_errors(world) < 0.2 * expert.gains.abs().max()).all()
