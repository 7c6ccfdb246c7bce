"""Whether imitation works: returns if the true reward is known, and measures that do not need it."""

from __future__ import annotations

import math
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only, rank_zero_warn
from rich.console import RenderableType
from torch import Tensor
from torch.nn.functional import softplus

from lightning_irl.callbacks.failing import spares_the_run
from lightning_irl.callbacks.publish import aside, demonstrations_of, publish_report, publish_scalars
from lightning_irl.callbacks.report import Report
from lightning_irl.callbacks.tables import imitation_table
from lightning_irl.costs import TrajectoryCost
from lightning_irl.environments import Environment
from lightning_irl.limits import at_least
from lightning_irl.metrics.imitation import (
    FeatureGap,
    correlation,
    epic_distance,
    feature_gap,
    normalised_return,
    transitions_of,
    visitation_distance,
)
from lightning_irl.pair import Pair
from lightning_irl.samplers import PolicySampler, Rollout, as_policy_sampler
from lightning_irl.spaces.samples import to
from lightning_irl.spaces.trajectory import Trajectory, as_trajectory
from lightning_irl.views import View, monitors
from lightning_irl.views.contracts import data_of

NORMALISED = "imitation/normalised_return", "imitation/normalised_return_mode"
RETURNS = (
    "imitation/return",
    "imitation/return_stderr",
    "imitation/return_mode",
    "imitation/return_mode_stderr",
)
OF_REWARDS = "imitation/reward_correlation", "imitation/epic_distance"
OF_DISCRIMINATOR = (
    "imitation/accuracy_demonstrations",
    "imitation/accuracy_sampler",
    "imitation/discriminator_gap",
    "imitation/discriminator_loss",
)
OF_POLICY = (
    "imitation/feature_gap",
    "imitation/visitation_distance",
    "imitation/soft_value",
    "imitation/soft_value_stderr",
)
NEAR = 0.9  # normalised return at which imitation counts as working
FEW = 5  # with fewer held-out demonstrations, features cannot tell
SMALL_GAP = 0.5  # standard deviations of a feature over trajectories, beyond chance


class LogImitation(Report):
    """Rolls out the policy and logs how close it is to the demonstrations; does nothing without a policy.

    With the true reward: ``imitation/return`` of the policy and ``imitation/return_mode`` of its mode (means over
    episodes), both also normalised (``imitation/normalised_return`` and ``..._mode``; 0: random policy, 1: mean of the
    demonstrations' file), the correlation of learned and true rewards on the policy's steps, and their EPIC distance.

    Without it: ``imitation/feature_gap`` (in standard deviations), the discriminator's accuracy and loss on held-out
    demonstrations and fresh episodes, and ``imitation/discriminator_gap``, E_p[1 - D] - E_q[D];
    ``imitation/visitation_distance`` between the states visited, in the plane that figures show; and
    ``imitation/soft_value``, the policy's learned reward plus its entropy, which is not log Z and never above it.

    Args:
        every_n_batches: batches between two evaluations.
        num_episodes: episodes of the policy, and as many of its mode.
        expert_return: return that is normalised to 1; by default the mean of the demonstrations' file.
        random_return: return that is normalised to 0; by default that of random actions.

    Attributes:
        results: scalars that the last evaluation logged, by key.
        verdict: one line, at the end of a run.
    """

    needs_float64 = True

    def __init__(
        self,
        every_n_batches: int = 10,
        num_episodes: int = 50,
        expert_return: float | None = None,
        random_return: float | None = None,
    ) -> None:
        at_least(1, "imitation.", every_n_batches=every_n_batches, num_episodes=num_episodes)
        self.every_n_batches, self.num_episodes = every_n_batches, num_episodes
        self.expert_return, self.random_return = expert_return, random_return
        self.results: dict[str, float] = {}
        self.num_held_out = 0
        self._published: tuple[str, int] | None = None
        self.verdict = ""

    @rank_zero_only
    @spares_the_run
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        view = policy_view(pl_module)
        if view is not None and view.batches % self.every_n_batches == 0:
            self.look(trainer, view, "val")

    @rank_zero_only
    @spares_the_run
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        view = policy_view(pl_module)
        if view is not None and self.monitored(trainer, view):
            self.look(trainer, view, "val")

    def monitorable(self, trainer: Trainer, view: View) -> dict[str, str]:
        """All keys, if the sampler is a policy."""
        if policy_view(view) is None:
            return {"imitation/*": f"sampler {type(view.sampler).__name__} is no policy"}
        expert = data_of(trainer).expert_return if self.expert_return is None else self.expert_return
        no_expert = (
            "" if math.isfinite(expert) else "no return of the demonstrations is known; set imitation.expert_return"
        )
        no_steps = "" if isinstance(view.cost, TrajectoryCost) else "the cost has no cost of single steps"
        no_actions = "" if view.scores_demonstrations else "demonstrations of states alone have no log q"
        return {
            **dict.fromkeys(RETURNS, ""),
            **dict.fromkeys(NORMALISED, no_expert),
            **dict.fromkeys(OF_REWARDS, no_steps),
            **dict.fromkeys(OF_DISCRIMINATOR, no_actions),
            **dict.fromkeys(OF_POLICY, ""),
        }

    @rank_zero_only
    @spares_the_run
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._conclude(trainer, pl_module, "val")

    @rank_zero_only
    @spares_the_run
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._conclude(trainer, pl_module, "test")

    def _conclude(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        view = policy_view(pl_module)
        if view is None or getattr(trainer, "fast_dev_run", False):
            return
        self.results, self.verdict = {}, ""  # so that earlier ones do not remain if this one fails
        gap = self.look(trainer, view, stage)
        self.verdict = self.judge(gap)
        publish_report(trainer, {"verdict": self.verdict, "results": self.results}, f"imitation_{stage}")

    def look(self, trainer: Trainer, view: View, stage: str) -> FeatureGap:
        """Roll out, measure and log."""
        sampler = as_policy_sampler(view.sampler, "LogImitation rolls out")
        with aside(view, seed=view.batches), torch.no_grad():
            demonstrations = as_trajectory(to(demonstrations_of(trainer, stage), view.device), "LogImitation compares")
            self.num_held_out = len(demonstrations.mask)
            rollout = sampler.rollout(self.num_episodes)
            has_actions = view.scores_demonstrations
            gap = feature_gap(demonstrations, rollout.trajectory, sampler.space.actions.number, has_actions)
            found: dict[str, Any] = {"feature_gap": gap.gap}
            if has_actions:
                found |= discriminate(view.pair, view.log_z, demonstrations, rollout.trajectory)
            found |= attained_soft_value(view.pair, rollout) | compare_visits(
                sampler, demonstrations, rollout.trajectory
            )
            if bool((rollout.rewards != 0).any()):
                mode = sampler.rollout(self.num_episodes, deterministic=True)
                found |= self._returns(trainer, view, rollout, mode) | compare_rewards(view.pair, rollout)
        scalars = {f"imitation/{key}": float(value) for key, value in found.items()}
        self.results = {key: value for key, value in scalars.items() if math.isfinite(value)}
        if self._published == (stage, view.batches):  # a batch that was due may also end the epoch
            monitors.publish(trainer, self.results, view.batches)
        else:
            publish_scalars(trainer, self.results, view.batches)
        self._published = stage, view.batches
        return gap

    def _returns(self, trainer: Trainer, view: View, rollout: Rollout, mode: Rollout) -> dict[str, float]:
        expert: float = data_of(trainer).expert_return if self.expert_return is None else self.expert_return
        if self.random_return is None:
            self.random_return = random_return(view, self.num_episodes)
        if self.random_return >= expert:
            rank_zero_warn(
                f"no normalised return: random actions return {self.random_return:.6g}, the demonstrations "
                f"{expert:.6g}; if either is wrong, set imitation.random_return and imitation.expert_return"
            )
        found = {}
        for name, episodes in (("", rollout), ("_mode", mode)):
            returns = episodes.rewards.sum(1).double()
            found[f"return{name}"] = float(returns.mean())
            found[f"return{name}_stderr"] = float(returns.std() / len(returns) ** 0.5)
            found[f"normalised_return{name}"] = normalised_return(float(returns.mean()), self.random_return, expert)
        return found

    def summary(self) -> list[RenderableType]:
        """Results of the last evaluation, and the verdict."""
        return [imitation_table(self.results), self.verdict] if self.results else []

    def judge(self, gap: FeatureGap) -> str:
        """One line that says whether it converged, and the evidence.

        If the true return is known it decides: the policy or its mode must come 0.9 of the way from random actions to
        the demonstrations. Otherwise the features decide, if there are enough held-out demonstrations.
        """
        limit = SMALL_GAP + gap.noise
        known = [self.results[key] for key in NORMALISED if key in self.results]
        if known:
            close = max(known) >= NEAR
        elif self.num_held_out < FEW:
            return (
                f"cannot tell whether it converged: held-out demonstrations are {self.num_held_out}, below {FEW}, and "
                "there is no normalised return"
            )
        else:
            close = gap.gap <= limit
        evidence = [
            f"of all features, {gap.name} differs most from the demonstrations', by {gap.gap:.2f} standard deviations "
            f"(limit {limit:.2f})"
        ]
        if "imitation/normalised_return_mode" in self.results:
            policy, mode = (self.results[f"imitation/normalised_return{name}"] for name in ("", "_mode"))
            evidence.append(f"normalised return {policy:.2f}, of its mode {mode:.2f}")
            if policy < mode - 0.5 > NEAR:
                evidence.append(
                    "the mode earns far more than the demonstrations and the policy does not: check whether they end "
                    "at a time limit that was mistaken for the end of an episode"
                )
        return f"{'converged' if close else 'not converged'}: " + "; ".join(evidence)


def policy_view(pl_module: LightningModule) -> View | None:
    """The module, if it is a view whose sampler is a policy."""
    return pl_module if isinstance(pl_module, View) and isinstance(pl_module.sampler, PolicySampler) else None


def random_return(view: View, num_episodes: int) -> float:
    """Mean true return of random actions; NaN if actions have no bounds."""
    sampler = as_policy_sampler(view.sampler, "random_return rolls out").at_random()
    return (
        math.nan if sampler is None else float(sampler.rollout(max(num_episodes, 200)).rewards.sum(1).double().mean())
    )


def compare_visits(sampler: PolicySampler, demonstrations: Trajectory, samples: Trajectory) -> dict[str, Tensor]:
    """Distance of state visitation in the plane that figures show; empty if the environment has none."""
    environment = sampler.environment
    if type(environment).phase is Environment.phase and environment.observation_shape != (2,):
        return {}  # by default the plane is the first two coordinates, which say too little
    first, second = (environment.phase(part.observations[:, :-1]) for part in (demonstrations, samples))
    if first is None or second is None:
        return {}
    return {"visitation_distance": visitation_distance(first[demonstrations.mask], second[samples.mask])}


def attained_soft_value(pair: Pair, rollout: Rollout) -> dict[str, Tensor]:
    """-(E_q[c/T] + E_q[log q]) in nats, with its standard error; the best policy attains the soft value."""
    values = -(pair.energy(rollout.trajectory) + rollout.log_q.sum(1)).double()
    return {"soft_value": values.mean(), "soft_value_stderr": values.std() / len(values) ** 0.5}


def discriminate(pair: Pair, log_z: Tensor, demonstrations: Trajectory, samples: Trajectory) -> dict[str, Tensor]:
    """Accuracy and loss of the discriminator on held-out demonstrations and fresh draws, at the pair's level."""
    demo, sample = (pair.ratio(pair.at_level(side), log_z) for side in (demonstrations, samples))
    return {
        "accuracy_demonstrations": (demo > 0).double().mean(),
        "accuracy_sampler": (sample < 0).double().mean(),
        "discriminator_gap": torch.sigmoid(-demo).mean() - torch.sigmoid(sample).mean(),
        "discriminator_loss": softplus(-demo).mean() + softplus(sample).mean(),
    }


def compare_rewards(pair: Pair, rollout: Rollout) -> dict[str, Tensor]:
    """Learned rewards compared with true ones."""
    cost, environment = pair.cost, pair.sampler.environment
    if not isinstance(cost, TrajectoryCost):
        return {}
    kept = rollout.trajectory.mask
    found = {"reward_correlation": correlation(-cost.step_costs(rollout.trajectory)[kept], rollout.rewards[kept])}

    def true(steps: Trajectory) -> Tensor | None:
        reward: Tensor | None = environment.reward(  # type: ignore[operator, union-attr]
            steps.observations[:, 0], steps.actions[:, 0], steps.observations[:, 1]
        )
        return reward

    steps = transitions_of(rollout.trajectory)
    if true(steps) is not None:
        found["epic_distance"] = epic_distance(lambda part: -cost(part), true, steps)  # type: ignore[arg-type]
    return found
