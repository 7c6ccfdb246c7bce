"""Figures of a policy: phase portraits, the learned cost beside the true reward, frames of an episode."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from lightning_irl.callbacks.image_figures import DEMONSTRATIONS, DRAWS
from lightning_irl.costs import TrajectoryCost
from lightning_irl.environments import Environment
from lightning_irl.metrics.imitation import correlation
from lightning_irl.samplers import Rollout, as_policy_sampler
from lightning_irl.spaces.trajectory import Trajectory
from lightning_irl.views import View

FRAMES = 8
HIDDEN = 0.02  # share of the rewards, at either end, beyond the colour scale


def rollout_figure(
    view: View, demonstrations: Trajectory, num_episodes: int = 32, num_lines: int = 16, frames: int = FRAMES
) -> Figure | None:
    """Phase portraits of demonstrations and policy, learned and true rewards, and an episode of the policy's mode.

    Rewards are averaged over the steps in each cell, of the policy and of random actions.

    Args:
        view: a trained view whose sampler is a policy.
        demonstrations: B trajectories.
        num_episodes: episodes of the policy, and as many of random actions.
        num_lines: episodes in each phase portrait.
        frames: frames of the mode's episode, if the environment can be drawn; 0 for none.

    Returns:
        The figure; None if the environment has no two coordinates to show.
    """
    sampler = as_policy_sampler(view.sampler, "rollout_figure shows")
    environment = sampler.environment
    if environment.phase(demonstrations.observations) is None:
        return None
    rollout = sampler.rollout(num_episodes)
    at_random = sampler.at_random()
    rewards = _rewards(view, [rollout, *([] if at_random is None else [at_random.rollout(num_episodes)])])
    has_scenes = frames and environment.sketch(Figure().subplots(), demonstrations.observations[0, 0].cpu())
    heights = (4.4, 1.6) if has_scenes else (4.4,)
    figure = Figure(figsize=(4.1 * (2 + len(rewards)), sum(heights)), layout="constrained")
    upper, *lower = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    panels = upper.subplots(1, 2 + len(rewards), sharex=True, sharey=True)
    for axes, title, trajectory, colour in (
        (panels[0], "demonstrations", demonstrations, DEMONSTRATIONS),
        (panels[1], "episodes of the policy", rollout.trajectory, DRAWS),
    ):
        _show_lines(axes, environment, trajectory, num_lines, colour)
        axes.set_title(title)
    for axes, panel in zip(panels[2:], rewards, strict=True):
        low, high = panel.values.quantile(torch.tensor([HIDDEN, 1 - HIDDEN], dtype=panel.values.dtype)).tolist()
        x, y = panel.points.T.numpy()
        cells = axes.hexbin(x, y, panel.values.numpy(), gridsize=36, vmin=low, vmax=high, linewidths=0.1)
        figure.colorbar(cells, ax=axes, shrink=0.85)
        axes.set_title(panel.title)
    for axes in panels:
        axes.set_xlabel(environment.phase_labels[0])
    panels[0].set_ylabel(environment.phase_labels[1])
    if has_scenes:
        mode = sampler.rollout(1, deterministic=True)
        _show_frames(list(lower[0].subplots(1, frames, squeeze=False)[0]), environment, mode.trajectory)
    figure.suptitle(f"after {view.batches} batches", fontsize=11)
    return figure


class RewardPanel(NamedTuple):
    """One value at each of N steps: coordinates (N, 2), values (N,), on the CPU."""

    title: str
    points: Tensor
    values: Tensor


@torch.no_grad()
def _rewards(view: View, rollouts: list[Rollout]) -> list[RewardPanel]:
    """Learned and true rewards of all steps, as far as they are known."""
    cost, environment = view.cost, view.sampler.environment
    points, learned, true = [], [], []
    for trajectory, _, rewards in rollouts:
        kept = trajectory.mask
        points.append(environment.phase(trajectory.observations[:, :-1])[kept])  # type: ignore[operator, union-attr]
        true.append(rewards[kept])
        if isinstance(cost, TrajectoryCost):
            learned.append(-cost.step_costs(trajectory)[kept])
    at, known = torch.cat(points).cpu(), torch.cat(true).cpu().double()
    panels = []
    if learned:
        found = torch.cat(learned).cpu().double()
        agreement = f", correlation {float(correlation(found, known)):.2f}" if known.std() > 0 else ""
        panels.append(RewardPanel(f"learned reward -c (nats){agreement}", at, found))
    if known.std() > 0:
        panels.append(RewardPanel("true reward", at, known))
    return panels


def _show_lines(axes: Axes, environment: Environment, trajectory: Trajectory, num: int, colour: str) -> None:
    """Paths of the first episodes, each until its end; broken where a coordinate jumps, as an angle does at pi."""
    points = environment.phase(trajectory.observations[:num]).cpu()  # type: ignore[union-attr]
    reach = (points.amax((0, 1)) - points.amin((0, 1))).clamp(min=1e-12)
    lines: list[np.ndarray] = []
    for path, mask in zip(points, trajectory.mask[:num].cpu(), strict=True):
        alive = path[: int(mask.sum()) + 1]
        jumps = ((alive[1:] - alive[:-1]).abs() > reach / 2).any(-1).nonzero().flatten() + 1
        lines += [part.numpy() for part in alive.tensor_split(jumps)]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.7, alpha=0.6))
    axes.plot(*points[:, 0].T.numpy(), ".", color="black", markersize=3)
    axes.autoscale_view()


def _show_frames(strip: list[Axes], environment: Environment, trajectory: Trajectory) -> None:
    """Scenes of the first trajectory until its end, denser at its start, where most happens."""
    last = int(trajectory.mask[0].sum())
    steps = (last * torch.linspace(0, 1, len(strip)) ** 2).round().long().tolist()
    for axes, step in zip(strip, steps, strict=True):
        axes.set_axis_off()
        environment.sketch(axes, trajectory.observations[0, step].cpu())
        axes.set_title(f"step {step}", fontsize=10)
