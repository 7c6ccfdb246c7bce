"""Demonstrations of states alone: read, trained on where nothing needs their actions, and refused
where something does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from lightning_irl.callbacks import LogEquivalence, LogImitation, LogPartition
from lightning_irl.costs import MLPStepCost, TrajectoryCost
from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule, write_npz
from lightning_irl.datamodules.importers import read
from lightning_irl.environments import Pendulum
from lightning_irl.errors import UserError
from lightning_irl.learners import PPO
from lightning_irl.policies import ClippedGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.views import IRL
from lightning_irl.views.view import View

BOUNDS: dict[str, Any] = {"action_low": [-2.0], "action_high": [2.0]}


def shortened(name: str, number: int = 12, steps: int = 10) -> Demonstrations:
    whole = read(name)
    return Demonstrations(
        [part[: steps + 1] for part in whole.observations[:number]],
        [part[:steps] for part in whole.actions[:number]],
        None if whole.rewards is None else [part[:steps] for part in whole.rewards[:number]],
    )


def states_of(whole: Demonstrations) -> Demonstrations:
    return Demonstrations(whole.observations, None, whole.rewards)  # type: ignore[arg-type]


def view(inputs: str = "state_next", **options: Any) -> View:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"discriminator": "plain", "learner": partial(PPO, passes=1, minibatches=1)}
    event = TrajectoryDataModule(shortened("pendulum"), **BOUNDS).event
    return IRL(
        event,
        partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=(8,), inputs=inputs)),
        partial(PolicySampler, environment=Pendulum(), policy=partial(ClippedGaussianPolicy, hidden=(8,))),
        **({"level": "transition", "num_samples": 8} | settings | options),
    )


def train(model: View, data: TrajectoryDataModule, tmp_path: Any) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[LogPartition(num_samples=16), LogImitation(every_n_batches=2, num_episodes=4), LogEquivalence(2)],
    )
    torch.manual_seed(1)
    trainer.fit(model, datamodule=data)
    return trainer


@pytest.mark.parametrize("how", ["left out", "NaN", "written and read"])
def test_states_alone_are_served_with_actions_that_nothing_can_use(how, tmp_path):
    whole = shortened("pendulum")
    states = states_of(whole)
    if how == "NaN":
        unknown = [np.full((10, 1), np.nan) for _ in whole.lengths]
        states = Demonstrations(whole.observations, unknown, whole.rewards)
    elif how == "written and read":
        write_npz(tmp_path / "states.npz", states)
        with np.load(tmp_path / "states.npz") as archive:
            assert "acts" not in archive.files
        states = read(tmp_path / "states.npz")
    assert not states.has_actions
    assert states.lengths == whole.lengths
    data, known = (TrajectoryDataModule(source, **BOUNDS) for source in (states, whole))
    assert data.event == known.event
    assert torch.isnan(data.splits.train.actions).all()
    assert torch.equal(data.splits.train.observations, known.splits.train.observations)
    assert data.expert_return == known.expert_return


def test_discrete_actions_that_are_not_known_are_none_of_those_that_exist():
    whole = shortened("cartpole")
    data, known = (TrajectoryDataModule(source, num_actions=2, horizon=10) for source in (states_of(whole), whole))
    assert data.event == known.event
    assert (data.splits.train.actions == -1).all()
    assert data.splits.train.actions.dtype == torch.long


def test_the_environments_actions_must_be_said():
    with pytest.raises(
        ValueError, match=r"holds states alone; say which actions .*num_actions, or action_low and action_high"
    ):
        TrajectoryDataModule(states_of(shortened("pendulum")))


def test_what_learns_from_states_alone_learns_what_it_did_beside_actions(tmp_path):
    """The plain discriminator of a cost of states: every weight is the same, bit for bit."""
    whole = shortened("pendulum")
    models = [view(), view()]
    for model, source in zip(models, (whole, states_of(whole)), strict=True):
        trainer = train(model, TrajectoryDataModule(source, **BOUNDS), tmp_path)
    first, second = (model.state_dict() for model in models)
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)  # log_z of an ordinary GAN is NaN
    report = next(callback for callback in trainer.callbacks if isinstance(callback, LogImitation))
    assert report.verdict.startswith(("converged", "not converged"))
    assert "action" not in report.verdict
    assert all(np.isfinite(value) for value in report.results.values())
    assert not [name for name in trainer.callback_metrics if "nll_sampler" in name]


def test_guided_cost_by_importance_needs_no_actions_either(tmp_path):
    model = view(objective="guided_cost", discriminator="density")
    train(model, TrajectoryDataModule(states_of(shortened("pendulum")), **BOUNDS), tmp_path)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inputs": "state_action"}, "the cost sees actions: .*inputs=state_next"),
        ({"discriminator": "density"}, "discriminator=density needs log q .*discriminator=plain"),
        (
            {"objective": "guided_cost", "negative_phase": "mixture", "discriminator": "density"},
            "negative_phase=mixture needs log q",
        ),
        ({"likelihood_weight": 0.5}, "likelihood_weight=0.5 needs log q"),
        ({"warm_start": 2}, "warm_start=2 needs log q"),
    ],
)
def test_what_needs_actions_is_refused_before_training(options, words, tmp_path):
    with pytest.raises(UserError, match=words):
        train(view(**options), TrajectoryDataModule(states_of(shortened("pendulum")), **BOUNDS), tmp_path)


def test_actions_that_never_change_are_asked_about():
    whole = shortened("pendulum")
    with pytest.warns(UserWarning, match=r"all 120 actions are \[0.0\]; if actions are not known, leave them out"):
        Demonstrations(whole.observations, [np.zeros((10, 1), np.float32) for _ in whole.lengths])
