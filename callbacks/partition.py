"""Estimates of the partition function: one during training, and all of them at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_warn
from rich.console import RenderableType

from lightning_irl.callbacks.evaluation import ends_here, means
from lightning_irl.callbacks.failing import spares_the_run, sparing_the_run
from lightning_irl.callbacks.partition_figure import partition_figure
from lightning_irl.callbacks.partition_keys import (
    BY_IMPORTANCE,
    DIVERGENCES,
    estimate_scalars,
    partition_keys,
)
from lightning_irl.callbacks.publish import (
    aside,
    demonstrations_of,
    epochs_between,
    publish_figure,
    publish_report,
    publish_scalars,
)
from lightning_irl.callbacks.report import Report
from lightning_irl.callbacks.tables import likelihood_table, partition_table
from lightning_irl.limits import above, at_least
from lightning_irl.metrics import KLOnGrid
from lightning_irl.pair import Pair
from lightning_irl.partition import PartitionEstimate, estimate_all
from lightning_irl.partition.methods import DEFAULT_METHODS, Method, check_methods, left_out
from lightning_irl.spaces.samples import Samples, select, to
from lightning_irl.spaces.space import space_of
from lightning_irl.views import View
from lightning_irl.views.contracts import data_of

ESTIMATES = 20  # in a run, by default


class LogPartition(Report):
    """Estimates log Z: cheaply after validation, and by every applicable method at the end of ``fit`` and ``test``.

    With log Z it logs the model's negative log-likelihood, by the best estimate: the reliable one with the smallest
    error. If the cost is not a model (it does not learn, or its discriminator does not use the density), only the
    sampler's likelihood is logged. Does nothing if the sampler has no density. At the end of ``fit`` the figure
    ``partition/history`` shows all estimates with their errors.

    Args:
        every_n_epochs: epochs between two importance estimates; by default a twentieth of the run, or one. 0 for none.
        num_samples: draws of the sampler for each estimate, per process.
        num_chains: annealed chains at the end, per process.
        num_temperatures: steps of each annealed chain.
        leapfrog_steps: leapfrog steps of each Hamiltonian move.
        broad_width: standard deviation of the broad start, as a multiple of the training data's; it finds mass within
            about three of these.
        methods: estimates to make at the end, if they apply: names, or the class_path of an estimator of your own
            (:class:`lightning_irl.partition.Estimator`).
        repetitions: number of times to make all estimates from scratch; reported errors are then at least their spread.

    Raises:
        ValueError: if a method is unknown, or a number is too small.

    Attributes:
        estimates: at the end, one for each method; none without a model.
        results: at the end, the logged scalars by key.
    """

    needs_float64 = True

    def __init__(
        self,
        every_n_epochs: int | None = None,
        num_samples: int = 4096,
        num_chains: int = 256,
        num_temperatures: int = 200,
        leapfrog_steps: int = 4,
        broad_width: float = 4.0,
        methods: Sequence[Method] = DEFAULT_METHODS,
        repetitions: int = 1,
    ) -> None:
        check_methods(methods)
        at_least(0, "partition.", every_n_epochs=every_n_epochs)
        at_least(1, "partition.", num_samples=num_samples, num_chains=num_chains, num_temperatures=num_temperatures)
        at_least(1, "partition.", leapfrog_steps=leapfrog_steps, repetitions=repetitions)
        above(0, "partition.", broad_width=broad_width)
        self.every_n_epochs, self.num_samples = every_n_epochs, num_samples
        self.num_chains, self.num_temperatures, self.leapfrog_steps = num_chains, num_temperatures, leapfrog_steps
        self.broad_width, self.methods, self.repetitions = broad_width, methods, repetitions
        self.estimates: list[PartitionEstimate] = []
        self.results: dict[str, float] = {}
        self._history: list[tuple[int, PartitionEstimate]] = []
        self._found_at: tuple[str, int] | None = None  # stage and batch of estimates and results
        self._published_at: dict[str, int] = {}  # by key: batch of its last value, in validations of fit

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Warn of requested methods that do not apply."""
        self._found_at, self._published_at = None, {}
        view = _dense(pl_module)
        if view is not None and view.has_model and stage in ("fit", "test"):
            for line in left_out(self.methods, view.event):
                rank_zero_warn(f"partition.methods: {line}")

    @spares_the_run
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        view = _dense(pl_module)
        if view is None or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        keys = self.monitored(trainer, view)
        if keys - set(BY_IMPORTANCE):
            self._report_monitored(trainer, view, keys)
            return
        every = self.every(trainer.max_epochs)
        due = every and (trainer.current_epoch + 1) % every == 0 and not ends_here(trainer)  # the end has all estimates
        if view.has_model and (due or keys):
            with aside(view, seed=view.batches, together=True):
                estimates = estimate_all(
                    view.energy, view.known_sampler, view.event, num_samples=self.num_samples, methods=["importance"]
                )
            self._history += [(view.batches, estimate) for estimate in estimates]
            self._publish(trainer, estimate_scalars(estimates), view.batches)

    def _report_monitored(self, trainer: Trainer, view: View, keys: set[str]) -> None:
        """Compute monitored keys as at the end of ``fit``, without writing files."""
        if keys <= set(DIVERGENCES):
            self._publish(trainer, self._divergences(trainer, view), view.batches)
        elif self._find(trainer, view, "val"):
            by_importance = [estimate for estimate in self.estimates if estimate.method == "importance"]
            self._history += [(view.batches, estimate) for estimate in by_importance]
            found = {key: value for key, value in self.results.items() if key != "val/nll_sampler"}  # the view logs it
            self._publish(trainer, found, view.batches)

    def _publish(self, trainer: Trainer, scalars: dict[str, float], batch: int) -> None:
        self._published_at |= dict.fromkeys(scalars, batch)
        if trainer.is_global_zero:
            publish_scalars(trainer, scalars, batch)

    def every(self, max_epochs: int | None) -> int:
        """Epochs between two estimates in a run of ``max_epochs``, None or -1 for an endless one."""
        return epochs_between(self.every_n_epochs, max_epochs, ESTIMATES)

    @spares_the_run
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, pl_module, "val")

    @spares_the_run
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, pl_module, "test")

    def _report(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        view = _dense(pl_module)
        if view is None or getattr(trainer, "fast_dev_run", False):
            return
        is_found = self._found_at == (stage, view.batches)  # already by a validation, for a callback that monitors it
        if not (is_found or self._find(trainer, view, stage)) or not trainer.is_global_zero:
            return
        known = self._logged(trainer, view, stage)
        publish_scalars(trainer, {key: self.results[key] for key in self.results if key not in known}, view.batches)
        if stage == "val" and self.estimates:
            with sparing_the_run(trainer, "partition/history"):
                figure = partition_figure(self._history, self.estimates, view.batches)
                publish_figure(trainer, figure, "partition/history", view.batches)
        report = {"stage": stage, "estimates": [plain(e) for e in self.estimates], "results": self.results}
        publish_report(trainer, report, f"partition_{stage}")

    @torch.inference_mode(False)  # annealed chains need gradients, which Lightning's evaluation loops switch off
    def _find(self, trainer: Trainer, view: View, stage: str) -> bool:
        """Set ``estimates`` and ``results`` for the current weights; returns whether there is anything to report."""
        self.estimates, self.results, self._found_at = [], {}, None  # no earlier ones if this fails
        with aside(view, seed=view.batches, together=True):
            found = means(trainer, view, stage)
        if not math.isfinite(found.get("cost", math.nan)):
            why = f"the mean cost of the {stage} part is {found['cost']}" if found else f"the {stage} part is empty"
            rank_zero_warn(f"no likelihood and no log Z: {why}")
            return False
        with aside(view, seed=view.batches, together=True):
            if view.has_model:
                demonstrations = demonstrations_of(trainer, stage) if view.scores_demonstrations else None
                if demonstrations is not None:
                    demonstrations = to(select(demonstrations, slice(self.num_samples)), view.device)
                self.estimates = self.estimate(view.pair, demonstrations)
            self.results = estimate_scalars(self.estimates) | self._likelihoods(found, view, stage)
        self.results |= self._divergences(trainer, view)
        self._found_at = stage, view.batches
        return True

    def _divergences(self, trainer: Trainer, view: View) -> dict[str, float]:
        """KL from the true density of points in the plane, in the first process; empty if it is unknown."""
        density, is_plane = data_of(trainer).density, space_of(view.event).figure == "plane"
        if not (trainer.is_global_zero and view.has_model and is_plane and density is not None):
            return {}
        with sparing_the_run(trainer, "kl"), aside(view, seed=view.batches):
            return kl_on_grid(view.pair, density)
        return {}

    def monitorable(self, trainer: Trainer, view: View) -> dict[str, str]:
        """Estimates of log Z, the model's likelihood, and divergences from a true density."""
        return partition_keys(self.methods, trainer, view)

    def summary(self) -> list[RenderableType]:
        """Estimates of log Z, and likelihoods by the best one."""
        if not self.results:
            return []
        best = best_estimate(self.estimates)
        likelihoods = likelihood_table(self.results, bool(self.estimates), best.method if best else None)
        tables = [partition_table(self.estimates)] if self.estimates else []
        return [*tables, likelihoods] if likelihoods.row_count else [*tables]

    def _logged(self, trainer: Trainer, view: View, stage: str) -> set[str]:
        """Keys already logged for these weights, by the last validation or the test."""
        known = {f"{stage}/nll_sampler"} if view.evaluated_at.get(stage) == view.batches else set()
        latest = {key for key, at in self._published_at.items() if at == view.batches and stage == "val"}
        return (known & set(trainer.callback_metrics)) | latest

    def estimate(self, pair: Pair, demonstrations: Samples | None) -> list[PartitionEstimate]:
        """Every estimate that applies to a view, given N demonstrations for those that need them."""
        return estimate_all(
            pair.energy,
            pair.known_sampler,
            pair.event,
            demonstrations,
            self.num_samples,
            num_chains=self.num_chains,
            num_temperatures=self.num_temperatures,
            leapfrog_steps=self.leapfrog_steps,
            broad_width=self.broad_width,
            methods=self.methods,
            repetitions=self.repetitions,
        )

    def _likelihoods(self, found: dict[str, float], view: View, stage: str) -> dict[str, float]:
        nats = {"sampler": found["nll_sampler"]} if "nll_sampler" in found else {}
        best = best_estimate(self.estimates)
        if best is not None:
            nats["model"] = found["cost"] + best.log_z
        scalars = {f"{stage}/nll_{name}": value for name, value in nats.items()}
        # Bits refer to grey levels: if nothing says how they were rescaled (log_det 0), their unit is unknown.
        declared = data_of(view.trainer).num_levels
        space = space_of(view.event)
        if space.is_image and (space.is_counted or found["log_det"] != 0 or declared):
            scale = space.dimension * math.log(2)
            scalars |= {
                f"{stage}/bits_per_dim_{name}": (value - found["log_det"]) / scale for name, value in nats.items()
            }
            if best is not None:
                scalars[f"{stage}/bits_per_dim_stderr"] = best.stderr / scale
        elif best is not None:
            scalars[f"{stage}/nll_stderr"] = best.stderr
        return scalars


def _dense(pl_module: LightningModule) -> View | None:
    return pl_module if isinstance(pl_module, View) and pl_module.sampler.has_density else None


def plain(estimate: PartitionEstimate) -> dict[str, Any]:
    """The fields of an estimate for JSON: null if one does not apply."""
    fields = asdict(estimate)
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in fields.items()}


def best_estimate(estimates: Sequence[PartitionEstimate]) -> PartitionEstimate | None:
    """The reliable, certifying estimate with the smallest error; None if there is none."""
    trusted = [estimate for estimate in estimates if estimate.certifies and estimate.reliable]
    return min(trusted, key=lambda estimate: estimate.stderr, default=None)


def kl_on_grid(pair: Pair, density: object, points: int = 400) -> dict[str, float]:
    """KL from the true density to the model and to the sampler, in nats, on a grid."""
    extent = space_of(pair.event).extent(5)
    device = pair.device
    axes = [low + (high - low) * (torch.arange(points) + 0.5) / points for low, high in extent]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(-1, 2).to(device)
    # The first process alone evaluates the whole grid, so there is nothing to reduce.
    model, sampler = (KLOnGrid(sync_on_compute=False).to(device) for _ in range(2))
    with torch.no_grad():
        for part in grid.split(16_384):
            log_p = density.log_prob(part)  # type: ignore[attr-defined]
            model.update(log_p, pair.energy(part))
            sampler.update(log_p, -pair.sampler.log_prob(part))
    return {"kl/model": float(model.compute()), "kl/sampler": float(sampler.compute())}
