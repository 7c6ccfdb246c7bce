"""Guided cost learning from demonstrations and draws alone, in worlds where dynamic programming knows every answer."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from lightning_irl.callbacks.imitation import attained_soft_value
from lightning_irl.costs import TabularStepCost, TrajectoryCost
from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule
from lightning_irl.dynamic_programming import (
    causal_backup,
    causal_entropy,
    expected_cost,
    log_z,
    maximum_causal_entropy,
    occupancy,
    soft_value,
)
from lightning_irl.environments import GridWorld
from lightning_irl.learners import ScoreFunction, SoftValueIteration
from lightning_irl.optim.schedules import DecayToZero
from lightning_irl.partition import importance
from lightning_irl.policies import TabularPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.views import IRL

HORIZON, ROUNDS = 4, 120
WORLDS = {"certain": GridWorld(2, 3, start=[0, 0]), "slip": GridWorld(2, 3, slip=0.2, start=[0, 0])}
LEARNERS = {"solved": (SoftValueIteration, 1), "score function": (ScoreFunction, 4)}


def demonstrations_of(world, num=500):
    event = make_trajectory_event(HORIZON, [world.num_states], num_actions=world.num_actions)
    expert = PolicySampler(event, world, TabularPolicy)
    with torch.no_grad():
        expert.policy.logits.copy_(causal_backup(world, -world.rewards, HORIZON).log_policy)
    return expert.sample(num)[0]


@pytest.mark.long
@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("name", WORLDS)
def test_draws_alone_come_to_the_exact_answers(name, learner):
    world, (factory, steps) = WORLDS[name], LEARNERS[learner]
    pl.seed_everything(0)
    trajectories = demonstrations_of(world)
    facts = {"num_actions": world.num_actions, "horizon": HORIZON}
    source = Demonstrations(
        list(trajectories.observations.numpy()),
        list(trajectories.actions.numpy()),
        None,
        [False] * 500,
        "expert",
        facts,
    )
    data = TrajectoryDataModule(source, fractions=(0, 0), steps_per_epoch=ROUNDS, normalise=False)
    decay = partial(DecayToZero, total=ROUNDS)
    view = IRL(
        data.event,
        partial(TrajectoryCost, step_cost=TabularStepCost),
        partial(PolicySampler, environment=world, policy=TabularPolicy),
        learner=factory,
        objective="guided_cost",
        num_samples=400,
        cost_optimizer=partial(torch.optim.Adam, lr=5e-2),
        cost_scheduler=decay,
        sampler_optimizer=partial(torch.optim.Adam, lr=5e-2),
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

    with torch.no_grad():
        costs = view.cost.step_cost.table.double()
        log_policy = view.sampler.policy.logits.double().log_softmax(-1)
        estimate = importance(view.energy, view.sampler, num_samples=10_000)
        best = causal_backup(world, costs, HORIZON).log_policy
        attained = causal_entropy(world, log_policy) - expected_cost(world, costs, log_policy)
        assert abs(estimate.log_z - float(log_z(world, costs, HORIZON))) < max(0.01, 5 * estimate.stderr)
        assert 0 <= float(soft_value(world, costs, HORIZON) - attained) + 1e-6 < 0.05
        reported = attained_soft_value(view, view.sampler.rollout(5_000))
        assert abs(reported["soft_value"] - attained) < max(1e-5, 4 * reported["soft_value_stderr"])
        assert (occupancy(world, log_policy) - occupancy(world, best)).abs().sum((1, 2)).max() < 0.05
        # and the cost itself is as good an explanation of the demonstrations as the best there is, but for what 400
        # draws a round leave
        exact = maximum_causal_entropy(world, trajectories, penalty=1 / 500)
        assert likelihood(log_policy, trajectories) > likelihood(exact.log_policy, trajectories) - 0.05


def likelihood(log_policy, trajectories):
    """Mean log q of the trajectories under a policy (T, S, A)."""
    states = trajectories.observations[:, :-1].argmax(-1)
    times = torch.arange(HORIZON).expand(states.shape)
    return log_policy[times, states, trajectories.actions].sum(1).mean()
