"""Whether imitation worked: with the true reward, and without it."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_irl.objectives import discriminator_logits
from lightning_irl.samplers.policy import Rollout
from lightning_irl.trajectory import Trajectory


def normalised_return(value: float, random: float, expert: float) -> float:
    """How far a return is from the random policy's (0) to the expert's (1).

    Example:
        >>> normalised_return(-100.0, -200.0, -50.0)
        0.6666666666666666
    """
    return (value - random) / (expert - random)


def reward_correlation(rollout: Rollout, step_costs: Tensor) -> Tensor:
    """Pearson correlation of minus the learned step costs (B, T) with the true rewards of a rollout, a scalar."""
    kept = rollout.trajectory.mask
    return torch.corrcoef(torch.stack([-step_costs[kept], rollout.rewards[kept].to(step_costs.dtype)]))[0, 1]


def pearson_distance(correlation: Tensor) -> Tensor:
    """sqrt((1 - r) / 2): 0 for rewards that agree up to scale and shift, 1 for opposite ones (Gleave et al. 2021)."""
    return ((1 - correlation) / 2).clamp(min=0).sqrt()


def features(trajectory: Trajectory, num_actions: int) -> Tensor:
    """Means over a batch's steps of observations, actions and their squares; one vector (K,)."""
    kept = trajectory.mask
    observations = trajectory.observations[:, :-1][kept].flatten(1)
    actions = trajectory.actions[kept]
    if num_actions:
        moments = torch.nn.functional.one_hot(actions, num_actions).to(observations.dtype)
    else:
        moments = torch.cat([actions.flatten(1), actions.flatten(1).square()], 1)
    return torch.cat([observations, observations.square(), moments], 1).mean(0)


def feature_gap(demonstrations: Trajectory, samples: Trajectory, num_actions: int) -> Tensor:
    """Largest difference of a feature's mean, in units of its scale over both sides' magnitude; a scalar."""
    ours, theirs = features(samples, num_actions), features(demonstrations, num_actions)
    return ((ours - theirs).abs() / (ours.abs() + theirs.abs()).clamp(min=1e-3)).max()


def discriminator_scores(
    demo_cost: Tensor, demo_log_q: Tensor, sample_cost: Tensor, sample_log_q: Tensor, log_z: Tensor
) -> dict[str, Tensor]:
    """Accuracy on both sides, E_p[1 - D] - E_q[D] (zero at the optimal log_z) and the discriminator's mean loss in nats."""
    demo = discriminator_logits(demo_cost, demo_log_q, log_z)
    sample = discriminator_logits(sample_cost, sample_log_q, log_z)
    return {
        "accuracy_demonstrations": (demo > 0).float().mean(),
        "accuracy_sampler": (sample < 0).float().mean(),
        "discriminator_gap": torch.sigmoid(-demo).mean() - torch.sigmoid(sample).mean(),
        "discriminator_loss": torch.nn.functional.softplus(-demo).mean() + torch.nn.functional.softplus(sample).mean(),
    }
