"""Quality of drawn images, by measures that do not need log Z."""

from __future__ import annotations

import math
from typing import Any

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only
from rich.console import RenderableType
from torch import Tensor

from lightning_irl.callbacks.failing import spares_the_run, sparing_the_run
from lightning_irl.callbacks.figures import MOVES, check_drawing, draw_model
from lightning_irl.callbacks.image_figures import interpolation_figure, neighbour_figure
from lightning_irl.callbacks.publish import aside, demonstrations_of, publish_figure, publish_report, publish_scalars
from lightning_irl.callbacks.report import Report, why_no_model, why_no_validation
from lightning_irl.callbacks.tables import quality_table
from lightning_irl.errors import UserError
from lightning_irl.files import run_folder
from lightning_irl.limits import at_least
from lightning_irl.metrics.distances import nearest
from lightning_irl.metrics.features import (
    INCEPTION,
    FeatureNetwork,
    InceptionFeatures,
    load_features,
    save_features,
    train_features,
)
from lightning_irl.metrics.quality import ImageJudge
from lightning_irl.spaces.samples import as_tensor
from lightning_irl.spaces.served import describe
from lightning_irl.spaces.space import image_space, space_of
from lightning_irl.views import View
from lightning_irl.views.contracts import batches, loader_of

TRAIN = "train"
OF_CLASSES = "quality/accuracy", "quality/least_class_share/*", "quality/confidence_ratio/*"
OF_CHAINS = "quality/ess", "quality/acceptance"
OF_IMAGES = (
    "quality/frechet_*/*",
    "quality/kernel_*/*",
    "quality/mmd/*",
    "quality/mmd_stderr/*",
    "quality/nearest_median/*",
    "quality/nearest_of_training",
)
COLUMNS, PATHS, STEPS = 12, 5, 11  # of the figures


class LogQuality(Report):
    """Measures the quality of images drawn from the sampler and the model, at the end of ``fit`` and in ``test``.

    The measures are Frechet and kernel distances between features of a named network, the discrepancy of pixels,
    distances to the nearest training image, and the output of a classifier. Each is also computed for held-out images,
    which gives the score of a perfect sampler. Draws of the model are the sampler's, resampled by their weights and
    then moved by chains (``quality/acceptance``); if ``quality/ess`` is small, many of them started at the same image.

    Off by default (``num_samples`` 0), since it trains a network of its own (seconds on digits, minutes on larger
    data). Does nothing if samples are not images (channels, rows, columns).

    Args:
        num_samples: draws of each source; 0 for no report.
        every_n_epochs: epochs between two reports in ``fit``; 0 for a report at the end only.
        features: ``train`` for a network trained on the training images, saved in the run's folder; the path of one
            saved by an earlier run; or ``inception`` for torch-fidelity's, whose Frechet distance is called FID
            elsewhere.
        num_training: training images used, drawn at random; all by default.
        pool: draws of the sampler per draw of the model, which is resampled from them; 0 starts the chains at draws of
            the sampler, for a model so far away that resampling would only repeat a few.
        moves: steps of the chains that draw from the model.
        temperature: of these moves; unless it is 1, the source is called ``model_at_TEMPERATURE``, since it is not the
            model.
        seed: random seed of the network.

    Attributes:
        results: scalars that the last report logged, by key.
    """

    def __init__(
        self,
        num_samples: int = 0,
        every_n_epochs: int = 0,
        features: str = TRAIN,
        num_training: int | None = None,
        pool: int = 8,
        moves: int = MOVES,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> None:
        at_least(0, "quality.", every_n_epochs=every_n_epochs)
        check_drawing("quality", pool, moves, temperature)
        if num_samples < 0 or num_samples == 1:
            raise ValueError(f"quality num_samples is {num_samples}; give 0 for no report, or at least 2 draws")
        self.num_samples, self.every_n_epochs, self.features = num_samples, every_n_epochs, features
        self.num_training, self.seed = num_training, seed
        self.pool, self.moves, self.temperature = pool, moves, temperature
        self.network: FeatureNetwork | InceptionFeatures | None = None
        self.results: dict[str, float] = {}
        self._judges: dict[str, ImageJudge] = {}
        self._reported_at: int | None = None  # batches trained when fit was last reported on

    @property
    def network_name(self) -> str:
        """The network's name in keys; empty before there is one."""
        return self.network.name if self.network is not None else ""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load the network before training."""
        self._reported_at = None
        if not self._applies(trainer, pl_module) or self.features == TRAIN:
            return
        try:
            with torch.random.fork_rng(devices=[]):  # a network starts with random weights, before it loads its own
                self.network = InceptionFeatures() if self.features == INCEPTION else load_features(self.features)
        except (ValueError, ModuleNotFoundError) as error:
            raise UserError(f"quality.features: {error}") from error

    @rank_zero_only
    @spares_the_run
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        due = self.every_n_epochs and epoch % self.every_n_epochs == 0 and epoch != trainer.max_epochs
        in_fit = not trainer.sanity_checking and trainer.state.fn == "fit"
        if in_fit and (due or self.monitored(trainer, pl_module)):
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
        """All keys; patterns for those that contain a network's name."""
        reason = "" if self.num_samples else "quality.num_samples is 0"
        if not reason and not self._applies(trainer, view):
            reason = "samples are no images of channels, rows and columns"
        reason = reason or why_no_validation(trainer)
        no_classes = "" if classes_of(trainer.datamodule, "train") is not None else "images have no classes"  # type: ignore[attr-defined]
        no_model = why_no_model(view)
        found = dict.fromkeys(OF_CLASSES, reason or no_classes) | dict.fromkeys(OF_CHAINS, reason or no_model)
        found["quality/*/model*"] = reason or no_model
        return found | dict.fromkeys(OF_IMAGES, reason)

    def _applies(self, trainer: Trainer, pl_module: LightningModule) -> bool:
        return (
            self.num_samples > 0
            and isinstance(pl_module, View)
            and space_of(pl_module.event).figure == "grid"
            and not getattr(trainer, "fast_dev_run", False)
        )

    @torch.inference_mode(False)  # it trains a network, and Lightning's test loop switches gradients off
    def _report(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not (isinstance(pl_module, View) and self._applies(trainer, pl_module)):
            return
        self.results, self._reported_at = {}, None  # so that earlier ones do not remain if this one fails
        with aside(pl_module, seed=pl_module.batches), torch.no_grad():
            self.look(trainer, pl_module, stage)
        self._reported_at = pl_module.batches if stage == "val" else None

    def look(self, trainer: Trainer, view: View, stage: str, samples: dict[str, Tensor] | None = None) -> None:
        """Judge draws, log the results and publish the figures.

        Args:
            trainer: of the run.
            view: the view to judge.
            stage: the held-out part, ``val`` or ``test``.
            samples: more sets of images as served (B, C, H, W), by the name of their source, such as chains.
        """
        judge = self._judge(trainer, view, stage)
        draws, found = self.sources(view)
        images = {name: _grey_levels(view, part) for name, part in {**draws, **(samples or {})}.items()}
        found |= judge.judge(images)
        scalars = {f"quality/{key}": value for key, value in found.items()}
        self.results = {key: value for key, value in scalars.items() if math.isfinite(value)}
        publish_scalars(trainer, self.results, view.batches)
        with sparing_the_run(trainer, "quality/neighbours"):
            publish_figure(trainer, neighbours(judge, images, view.batches), "quality/neighbours", view.batches)
        with sparing_the_run(trainer, "quality/interpolation"):
            demonstrations = as_tensor(demonstrations_of(trainer, stage), "LogQuality interpolates")
            figure = interpolations(view, demonstrations.to(view.device))
            publish_figure(trainer, figure, "quality/interpolation", view.batches)
        report = {"stage": stage, "network": judge.network.name, "group": judge.group, "results": self.results}
        publish_report(trainer, report, f"quality_{stage}")

    def summary(self) -> list[RenderableType]:
        """A table of the measures; held-out images show the score of a perfect sampler."""
        return [quality_table(self.results, self.network_name)] if self.results else []

    def sources(self, view: View) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Draws to judge (num_samples, *shape), as served, by source; and ``ess`` and ``acceptance`` of the model's."""
        draws: dict[str, Tensor] = {"sampler": view.sampler.sample(self.num_samples)[0]}
        if not view.has_model:
            return draws, {}
        drawn = draw_model(view.pair, self.num_samples, self.pool * self.num_samples, self.moves, self.temperature)
        draws["model" if drawn.temperature == 1 else f"model_at_{drawn.temperature:g}"] = drawn.samples
        return draws, {"ess": drawn.ess, "acceptance": drawn.acceptance}

    def _judge(self, trainer: Trainer, view: View, stage: str) -> ImageJudge:
        """The judge of a held-out part, made once for each."""
        if stage not in self._judges:
            data = trainer.datamodule  # type: ignore[attr-defined]
            training, labels = trained_on(trainer, view, self.num_training)
            training = _grey_levels(view, training.to(view.device))
            if self.network is None:
                path = run_folder(trainer) / "features"
                known = None if labels is None else labels.to(view.device)
                self.network = train_features(training, known, data=data_name(data), seed=self.seed)
                save_features(self.network, path / f"{self.network.name}.pt")
            held_out = as_tensor(demonstrations_of(trainer, stage), "LogQuality compares")
            classes = classes_of(data, stage)
            self._judges[stage] = ImageJudge(
                self.network,
                training,
                _grey_levels(view, held_out.to(view.device)),
                None if classes is None else classes.to(view.device),
                group=self.num_samples,
            )
        return self._judges[stage]


def _grey_levels(view: View, images: Tensor) -> Tensor:
    return image_space(view.event, "LogQuality judges images, but the data").grey_levels(images)


def data_name(data: Any) -> str:
    """The data module's part of a network's name: its ``name`` if it has one, else its class.

    Example:
        >>> from lightning_irl.datamodules import DigitsDataModule
        >>> data_name(DigitsDataModule())
        'digits'
    """
    name = (describe(data).name or type(data).__name__.removesuffix("DataModule")).lower()
    return "".join(letter for letter in name if letter.isascii() and letter.isalnum()) or "images"


def trained_on(trainer: Trainer, view: View, num: int | None) -> tuple[Tensor, Tensor | None]:
    """Training images of a run as served (N, C, H, W), and their labels if the data module has a class for each.

    Args:
        trainer: of the run.
        view: the view that is trained.
        num: number of images, drawn at random if they are in memory, else the first; None for all.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if hasattr(data, "train_set"):  # a MemoryDataModule gives its training samples by index
        return training_images(data, num)
    images = [batch.samples for batch in batches(view, data, loader_of(trainer, "train"))]
    return torch.cat(images)[:num], None


def training_images(data: Any, num: int | None) -> tuple[Tensor, Tensor | None]:
    """Training images as served (N, C, H, W), and their labels if the data module has a class for each.

    Args:
        data: a MemoryDataModule.
        num: number of images, drawn at random; None for all.
    """
    served: Any = data.train_set()
    order = torch.randperm(len(served), generator=torch.Generator().manual_seed(0))[:num]
    parts = [served.__getitems__(part.tolist()).samples for part in order.split(1024)]
    classes = classes_of(data, "train")
    return torch.cat(parts), None if classes is None else classes[order]


def classes_of(data: Any, part: str) -> Tensor | None:
    """The class of each image (N,) of a part; None if there are none, or several attributes instead."""
    labels: Tensor | None = getattr(describe(data).labels, part, None)
    return labels if labels is not None and labels.ndim == 1 else None


def neighbours(judge: ImageJudge, images: dict[str, Tensor], batch: int) -> Figure:
    """The first images of each source (B, C, H, W), in [0, 1], beside their nearest training images."""
    training = judge.training.flatten(1)
    shown, nearby, distances = {}, {}, {}
    for source, part in images.items():
        found = nearest(part[:COLUMNS].flatten(1), training)
        order = found.distances.argsort()
        shown[source], distances[source] = part[:COLUMNS][order], found.distances[order]
        nearby[source] = judge.training[found.places[order]]
    return neighbour_figure(shown, nearby, distances, judge.usual_distance, batch)


def interpolations(view: View, demonstrations: Tensor) -> Figure:
    """Straight paths between demonstrations, in the sampler's base coordinates if it has them."""
    chosen = torch.randperm(len(demonstrations), device=demonstrations.device)[: 2 * PATHS]
    first, second = (
        demonstrations[chosen[: len(chosen) // 2]],
        demonstrations[chosen[len(chosen) // 2 :][: len(chosen) // 2]],
    )
    sampler: Any = view.sampler
    has_base = hasattr(sampler, "to_base")
    if has_base:
        first, second = sampler.to_base(first)[0], sampler.to_base(second)[0]
    share = torch.linspace(0, 1, STEPS, device=first.device).view(1, STEPS, *[1] * (first.ndim - 1))
    ways = (torch.lerp(first[:, None], second[:, None], share)).flatten(0, 1)
    if has_base:
        ways = sampler.from_base(ways)[0]
    energies = view.energy(ways).view(-1, STEPS)
    paths = _grey_levels(view, ways).view(-1, STEPS, *view.event["shape"])
    return interpolation_figure(paths, energies, "the sampler's base" if has_base else "pixels", view.batches)
