"""Figures and tables of samples during training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

from lightning_irl import objectives
from lightning_irl.callbacks.failing import spares_the_run, sparing_the_run
from lightning_irl.callbacks.figures import check_drawing, image_figure, plane_figure
from lightning_irl.callbacks.image_figures import CHAINS, chain_figure
from lightning_irl.callbacks.publish import aside, demonstrations_of, epochs_between, publish_figure, publish_table
from lightning_irl.callbacks.report import Report
from lightning_irl.callbacks.rollouts import FRAMES, rollout_figure
from lightning_irl.limits import at_least
from lightning_irl.mcmc import sample_model
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import to
from lightning_irl.spaces.space import image_space, space_of
from lightning_irl.views import View

TABLE_ROWS = 64


class LogSamples(Report):
    """Shows samples of the pair halfway through ``fit``, at its end, and in ``test``.

    Images become ``samples/grid`` (demonstrations, sampler, model) and ``samples/chain`` (chains from the sampler to
    the model); points in the plane become ``samples/plane`` (demonstrations, draws, the model's density,
    discriminator); trajectories become ``samples/rollouts`` (demonstrations, episodes of the policy, learned and true
    rewards, and at the end frames of one episode). Other events have no figure. ``samples/table`` has draws with their
    cost, log q and logit.

    Args:
        every_n_epochs: epochs between two figures; by default half of the run, or one epoch if its end is not known. 0
            for a figure at the end only.
        pool: draws of the sampler from which draws of a model of images are resampled; 0 starts the moves at draws of
            the sampler.
        moves: steps of the chains that start there, and of those in ``samples/chain``; only at the end, since they take
            long.
        temperature: of the moves; below 1 images are more typical than the model's, and the title says so.

    Attributes:
        latest: path of the latest figure.
    """

    def __init__(
        self, every_n_epochs: int | None = None, pool: int = 8192, moves: int = 44, temperature: float = 1.0
    ) -> None:
        at_least(0, "samples.", every_n_epochs=every_n_epochs)
        check_drawing("samples", pool, moves, temperature)
        self.every_n_epochs, self.pool, self.moves, self.temperature = every_n_epochs, pool, moves, temperature
        self.latest: Path | None = None

    @rank_zero_only
    @spares_the_run
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        every = self.every(trainer.max_epochs)
        epoch = trainer.current_epoch + 1
        if (
            trainer.sanity_checking
            or trainer.state.fn != "fit"
            or not every
            or epoch % every
            or epoch == trainer.max_epochs
        ):
            return  # the last epoch is drawn by on_train_end
        self._draw(trainer, pl_module, "val", on_the_way=True)

    def every(self, max_epochs: int | None) -> int:
        """Epochs between two figures in a run of ``max_epochs``, None or -1 for an endless one."""
        return epochs_between(self.every_n_epochs, max_epochs, times=2)

    @rank_zero_only
    @spares_the_run
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, pl_module, "val")

    @rank_zero_only
    @spares_the_run
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, pl_module, "test")

    def _draw(self, trainer: Trainer, pl_module: LightningModule, stage: str, on_the_way: bool = False) -> None:
        if not isinstance(pl_module, View) or getattr(trainer, "fast_dev_run", False):
            return
        moves = 0 if on_the_way and self.pool else self.moves
        found = self._figure_of(pl_module.event, moves, 0 if on_the_way else FRAMES)
        if found is None:
            return
        draw, key = found
        with aside(pl_module, seed=0):
            demonstrations = to(demonstrations_of(trainer, stage), pl_module.device)
            with sparing_the_run(trainer, key):
                figure = draw(pl_module, demonstrations)
                if figure is not None:
                    self.latest = publish_figure(trainer, figure, key, pl_module.batches)
            with sparing_the_run(trainer, "samples/chain"):
                chains = chains_of(pl_module, moves, self.temperature) if key == "samples/grid" else None
                if chains is not None:
                    publish_figure(trainer, chains, "samples/chain", pl_module.batches)
            with sparing_the_run(trainer, "samples/table"):
                columns, rows = table_of(pl_module, TABLE_ROWS)
                publish_table(trainer, columns, rows, "samples/table", pl_module.batches)

    def _figure_of(
        self, event: Event, moves: int, frames: int
    ) -> tuple[Callable[[View, Any], Figure | None], str] | None:
        """The figure that suits samples of an event, and its key."""
        draw: dict[str, Callable[[View, Any], Figure | None]] = {
            "rollouts": partial(rollout_figure, frames=frames),
            "plane": plane_figure,
            "grid": partial(image_figure, pool=self.pool, moves=moves, temperature=self.temperature),
        }
        name = space_of(event).figure
        return None if name is None else (draw[name], f"samples/{name}")


@torch.no_grad()
def table_of(view: View, number: int) -> tuple[list[str], list[list[float]]]:
    """Columns and rows of draws: c/T, log q and the discriminator's logit if they exist, and coordinates of points."""
    samples, log_q = view.sampler.sample(number)
    found = {"cost": view.energy(samples)}
    if log_q is not None:
        found["log_q"] = log_q
    if log_q is not None and view.has_model and view.segment_length is None:
        found["logit"] = objectives.discriminator_logits(found["cost"], log_q, view.log_z)
    found |= space_of(view.event).columns(samples)
    return list(found), torch.stack([column.float() for column in found.values()], 1).tolist()


def chains_of(view: View, moves: int, temperature: float = 1.0) -> Figure | None:
    """Chains on exp(-c/temperature) from draws of the sampler, with their energy; None without model or gradient."""
    space = image_space(view.event, "chains are shown of images; the data")
    if not (view.has_model and space.takes_chains and moves):
        return None
    drawn = sample_model(view.energy, view.known_sampler, CHAINS, pool=0, moves=moves, temperature=temperature)
    with torch.no_grad():
        energies = view.energy(drawn.path.flatten(0, 1)).view(drawn.path.shape[:2])
    title = f"chains at the model from {drawn.origin}, after {view.batches} batches"
    return chain_figure(space.grey_levels(drawn.path.flatten(0, 1)).view_as(drawn.path), energies, title)
