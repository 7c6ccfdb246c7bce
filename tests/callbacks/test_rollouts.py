"""The figure of trajectories shows what happened, for every environment that has a plane to show it in."""

from functools import partial

import matplotlib.image
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure

from lightning_irl.callbacks import LogSamples
from lightning_irl.callbacks.rollouts import _show_lines, rollout_figure
from lightning_irl.costs import MLPStepCost, TrajectoryCost
from lightning_irl.datamodules import TrajectoryDataModule
from lightning_irl.environments import CartPole, Environment, Pendulum, PointMassMaze
from lightning_irl.learners import PPO
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.spaces.trajectory import Trajectory
from lightning_irl.views import IRL

TASKS = {"pendulum": (Pendulum, ClippedGaussianPolicy), "cartpole": (CartPole, CategoricalPolicy)}


class Line(Pendulum):
    """An environment with one coordinate."""

    observation_shape = (1,)
    phase = Environment.phase


def view_of(event, environment, policy):
    step_cost = partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[8]))
    return IRL(
        event, step_cost, partial(PolicySampler, environment=environment, policy=policy), learner=PPO, num_samples=8
    )


@pytest.mark.long
@pytest.mark.parametrize("name", TASKS)
def test_fit_leaves_a_figure_of_what_the_policy_does(tmp_path, name):
    environment, policy = TASKS[name]
    pl.seed_everything(0)
    data = TrajectoryDataModule(name, num_demonstrations=6, steps_per_epoch=1, absorbing=environment.absorbing)
    view = view_of(data.event, environment(), policy)
    trainer = pl.Trainer(
        max_epochs=1,
        default_root_dir=tmp_path,
        logger=False,
        callbacks=[LogSamples()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(view, data)
    (path,) = tmp_path.glob("figures/samples/rollouts/*.png")
    image = matplotlib.image.imread(path)
    assert image.std() > 0.05
    assert image[-150:].std() > 0.02  # the frames


def test_rewards_are_those_of_the_steps_shown():
    event = make_trajectory_event(20, [3], action_shape=[1], action_low=[-2], action_high=[2])
    torch.manual_seed(0)
    view = view_of(event, Pendulum(), ClippedGaussianPolicy)
    figure = rollout_figure(view, view.sampler.rollout(3).trajectory)
    titles = [axes.get_title() for axes in figure.subfigs[0].axes if axes.get_title()]
    assert titles[:2] == ["demonstrations", "episodes of the policy"]
    assert titles[2].startswith("learned reward -c (nats), correlation ")
    assert titles[3] == "true reward"
    assert len(rollout_figure(view, view.sampler.rollout(3).trajectory, frames=0).subfigs) == 1
    (cells,) = figure.subfigs[0].axes[3].collections
    centres, values = cells.get_offsets(), cells.get_array()
    truth = -(centres[:, 0] ** 2) - 0.1 * centres[:, 1] ** 2
    assert np.abs(values - truth).max() < 1.0  # a cell is 0.17 rad wide, where the slope is at most 2 pi
    assert np.corrcoef(values, truth)[0, 1] > 0.99


def test_lines_break_where_an_angle_jumps():
    angle = torch.tensor([2.9, 3.1, -3.1, -2.9])
    observations = torch.stack([angle.cos(), angle.sin(), torch.ones(4)], -1)[None]
    ones = torch.ones(1, 3, dtype=torch.bool)
    path = Trajectory(observations, torch.zeros(1, 3, 1), ones, ~ones[:, 0], torch.zeros(1, dtype=torch.long))
    axes = Figure().subplots()
    _show_lines(axes, Pendulum(), path, 1, "black")
    (stretches,) = axes.collections
    assert [len(stretch) for stretch in stretches.get_segments()] == [2, 2]
    assert [len(line.get_xdata()) for line in axes.lines] == [1]  # the start


def test_without_two_coordinates_there_is_no_figure():
    event = make_trajectory_event(4, [1], action_shape=[1], action_low=[-2], action_high=[2])
    view = view_of(event, Line(), ClippedGaussianPolicy)
    assert rollout_figure(view, Trajectory(torch.zeros(2, 5, 1), *[torch.zeros(2, 4)] * 4)) is None


def test_an_environment_need_not_draw_scenes():
    assert not Environment.sketch(PointMassMaze(), Figure().subplots(), torch.zeros(4))
