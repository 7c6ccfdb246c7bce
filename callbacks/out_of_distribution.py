"""Scores of data from another distribution."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only
from rich.console import RenderableType
from torch import Tensor

from lightning_irl.callbacks.failing import spares_the_run
from lightning_irl.callbacks.image_figures import histogram_figure
from lightning_irl.callbacks.publish import aside, demonstrations_of, publish_figure, publish_scalars
from lightning_irl.callbacks.quality import trained_on
from lightning_irl.callbacks.report import Report, why_no_density, why_no_validation
from lightning_irl.errors import UserError
from lightning_irl.limits import at_least
from lightning_irl.metrics.distances import separation
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import as_tensor
from lightning_irl.spaces.served import describe
from lightning_irl.spaces.space import space_of
from lightning_irl.views import View
from lightning_irl.views.contracts import batches

PIECE = 1024  # samples scored at once
ENERGY, SAMPLER, RATIO = "energy c/T (nats)", "$-$log q of the sampler (nats)", "c/T + log q (nats)"
SCORES = {ENERGY: "energy", SAMPLER: "sampler", RATIO: "ratio"}


class LogOutOfDistribution(Report):
    """Separates another data module's test part from this run's data by the cost, by -log q, and by their difference.

    ``ood/auroc_energy``, ``ood/auroc_sampler`` and ``ood/auroc_ratio``: the chance that a sample of the other data
    scores higher than a held-out demonstration, by c/T, by -log q and by c/T + log q (minus the discriminator's logit,
    up to log Z). A good model need not separate them: models of high likelihood are known to prefer simpler images of
    other data (Nalisnick et al. 2019, arXiv 1810.09136), and training does not work against that.
    ``ood/energy_histogram`` shows the scores of training, held-out and other data and of draws.

    Reports at the end of ``fit`` and in ``test``. Does nothing without ``data``.

    Args:
        data: data module of the other data, of the same shape and support.
        num_samples: number of samples of each group, at most.

    Attributes:
        results: scalars of the last report, by key.
    """

    def __init__(self, data: LightningDataModule | None = None, num_samples: int = 2000) -> None:
        at_least(1, "ood.", num_samples=num_samples)
        self.data, self.num_samples = data, num_samples
        self.results: dict[str, float] = {}
        self._reported_at: int | None = None  # batches trained when fit was last reported on

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compare the two events before training."""
        self._reported_at = None
        if self.data is None or not isinstance(pl_module, View):
            return
        with torch.random.fork_rng(devices=[]):
            self.data.prepare_data()
            self.data.setup("test")
        check_other_event(pl_module.event, describe(self.data).event, type(self.data).__name__)

    @rank_zero_only
    @spares_the_run
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.monitored(trainer, pl_module):
            self._report(trainer, pl_module, "val")

    @rank_zero_only
    @spares_the_run
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._reported_at != getattr(pl_module, "batches", 0):  # else the last validation reported on these weights
            self._report(trainer, pl_module, "val")

    @rank_zero_only
    @spares_the_run
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer, pl_module, "test")

    def monitorable(self, trainer: Trainer, view: View) -> dict[str, str]:
        """The area under the curve by each score that the pair has."""
        reason = why_no_validation(trainer) if self.data is not None else "ood.data is not given"
        no_cost = "" if view.cost_steps else "model.cost_steps is 0, so the cost never learned"
        no_density = why_no_density(view)
        return {
            "ood/auroc_energy": reason or no_cost,
            "ood/auroc_sampler": reason or no_density,
            "ood/auroc_ratio": reason or no_cost or no_density,
        }

    def summary(self) -> list[RenderableType]:
        """The area under the curve by each score, in a line."""
        found = ", ".join(f"{key.partition('auroc_')[2]} {value:.3f}" for key, value in self.results.items())
        return [f"out of distribution, area under the ROC curve by {found} (0.5: chance)"] if found else []

    def _report(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.data is None or not isinstance(pl_module, View) or getattr(trainer, "fast_dev_run", False):
            return
        view = pl_module
        self.results, self._reported_at = {}, None  # so that earlier ones do not remain if this one fails
        with aside(view, seed=view.batches), torch.no_grad():
            training, _ = trained_on(trainer, view, self.num_samples)
            held_out = as_tensor(demonstrations_of(trainer, stage), "LogOutOfDistribution scores")
            groups = {
                "training": training,
                stage: held_out[: self.num_samples],
                "sampler q": view.sampler.sample(self.num_samples)[0],
                "out of distribution": self._other(view),
            }
            panels = {
                score: {name: of(part) for name, part in groups.items()} for score, of in self._scores(view).items()
            }
            if view.has_model and ENERGY in panels:
                panels[RATIO] = {name: panels[ENERGY][name] - panels[SAMPLER][name] for name in groups}
        found = {
            f"ood/auroc_{SCORES[score]}": float(separation(values[stage], values["out of distribution"]))
            for score, values in panels.items()
        }
        self.results = {key: value for key, value in found.items() if math.isfinite(value)}
        publish_scalars(trainer, self.results, view.batches)
        self._reported_at = view.batches if stage == "val" else None
        publish_figure(trainer, histogram_figure(panels, view.batches), "ood/energy_histogram", view.batches)

    def _other(self, view: View) -> Tensor:
        assert self.data is not None
        other = batches(view, self.data, self.data.test_dataloader())
        return torch.cat([batch.samples for batch in other])[: self.num_samples]

    @staticmethod
    def _scores(view: View) -> dict[str, Callable[[Tensor], Tensor]]:
        """Functions that score samples (B, *shape) with (B,), by their name on an axis."""

        def by_pieces(score: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
            return lambda samples: torch.cat([score(part.to(view.device)) for part in samples.split(PIECE)]).double()

        found = {ENERGY: by_pieces(view.energy)} if view.cost_steps else {}  # an untrained cost says nothing
        if view.sampler.has_density:
            found[SAMPLER] = by_pieces(lambda samples: -view.pair.log_q(samples))
        return found


def check_other_event(event: Event, other: Event | None, name: str) -> None:
    """Refuse other data that the cost cannot score.

    Raises:
        UserError: naming what differs, and what to do.
    """
    if space_of(event).has_steps:
        raise UserError("ood.data: trajectories cannot be compared; leave ood.data out")
    if other is None:
        raise UserError(f"ood.data: {name} does not say what one sample looks like; set its event by make_event")
    for field in ("shape", "support", "low", "high"):
        mine, theirs = event.get(field), other.get(field)
        if mine != theirs:
            raise UserError(
                f"ood.data: {name} serves samples of {field} {theirs}, the run's data has {mine}; give data of the "
                "same shape on the same support"
            )
