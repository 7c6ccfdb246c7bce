"""Figures of samples: grids of images; points in the plane with model and discriminator."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torchvision.utils import make_grid

from lightning_irl.callbacks.image_figures import DEMONSTRATIONS, DRAWS, channels_shown, drawable
from lightning_irl.mcmc import ModelSamples, sample_model
from lightning_irl.pair import Pair
from lightning_irl.spaces.space import image_space, space_of
from lightning_irl.views import View

MOVES = 44  # steps of the chains that draw from the model, after resampling


def image_figure(
    view: View,
    demonstrations: Tensor,
    num_images: int = 64,
    pool: int = 8192,
    moves: int = MOVES,
    temperature: float = 1.0,
) -> Figure:
    """Grids of demonstrations, of draws of the sampler and of draws of the model, side by side.

    Args:
        view: a trained view of images.
        demonstrations: (N, C, H, W) as served.
        num_images: number of images in each grid.
        pool: number of draws of the sampler from which the model's are resampled.
        moves: steps of the chains that start there, if samples have a gradient.
        temperature: of the moves, as in :func:`lightning_irl.mcmc.sample_model`; the title shows it if it is not 1.
    """
    draws, _ = view.sampler.sample(num_images)
    grids = {"demonstrations": demonstrations[:num_images], "sampler q": draws}
    if view.has_model:
        drawn = draw_model(view.pair, num_images, pool, moves, temperature)
        grids["model exp(-c)/Z\n" + drawn.origin.replace("; ", "\n")] = drawn.samples
    shape = drawable(demonstrations[:1]).shape
    height = max(4 * min(shape[2] / shape[3], 1), 2)  # inches of a grid that is 4 wide
    figure = Figure(figsize=(4 * len(grids), height + 0.6), layout="constrained")
    for axes, (title, images) in zip(np.atleast_1d(figure.subplots(1, len(grids))), grids.items(), strict=True):
        _show_images(axes, images, view)
        axes.set_title(title, fontsize=11)
    figure.suptitle(f"after {view.batches} batches{channels_shown(demonstrations.shape[1])}", fontsize=11)
    return figure


def draw_model(pair: Pair, num_images: int, pool: int, moves: int, temperature: float) -> ModelSamples:
    """:func:`lightning_irl.mcmc.sample_model` of a view; by resampling alone if samples have no gradient."""
    if not space_of(pair.event).takes_chains:
        moves, pool, temperature = 0, max(pool, num_images), 1.0
    return sample_model(pair.energy, pair.known_sampler, num_images, pool, moves, temperature=temperature)


def check_drawing(report: str, pool: int, moves: int, temperature: float) -> None:
    """Refuse, before training, options that :func:`lightning_irl.mcmc.sample_model` could not draw with.

    Raises:
        ValueError: if pool and moves are both 0 or one is negative, the temperature is not above 0, or it is not 1
            and there are no moves.
    """
    if min(pool, moves) < 0 or not (pool or moves):
        raise ValueError(
            f"{report}.pool is {pool} and {report}.moves {moves}: draws of the model are resampled from a pool, "
            "moved, or both; set one of them"
        )
    if not 0 < temperature < math.inf:
        raise ValueError(f"{report}.temperature is {temperature}; it is above 0, and 1 for draws of the model")
    if temperature != 1 and moves < 1:
        raise ValueError(
            f"{report}.temperature is {temperature}, but {report}.moves is {moves}; set moves, or temperature to 1"
        )


def _show_images(axes: Axes, images: Tensor, view: View) -> None:
    images = drawable(image_space(view.event, "a grid is of images; the data").grey_levels(images))
    grid = make_grid(images.detach().cpu().float(), nrow=math.ceil(math.sqrt(len(images))), padding=1, pad_value=0.5)
    axes.imshow(grid.clamp(0, 1).permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_axis_off()


def plane_figure(view: View, demonstrations: Tensor, num_points: int = 2000, points: int = 200) -> Figure:
    """Demonstrations, draws of the sampler, the model's density and the discriminator, on the same square.

    Args:
        view: a trained view of points in the plane.
        demonstrations: (N, 2) as served.
        num_points: number of points in each scatter plot.
        points: grid points along each axis.
    """
    low, high = space_of(view.event).square(2.5)
    draws, _ = view.sampler.sample(num_points)
    panels = 4 if view.has_model else 2
    figure = Figure(figsize=(4.1 * panels, 4.4), layout="constrained")
    axes = figure.subplots(1, panels, sharex=True, sharey=True)
    for panel, title, values, colour in (
        (axes[0], "demonstrations", demonstrations[:num_points], DEMONSTRATIONS),
        (axes[1], "draws of the sampler q", draws, DRAWS),
    ):
        panel.scatter(*values.detach().cpu().numpy().T, s=2, color=colour, linewidths=0)
        panel.set_title(title)
    if view.has_model:
        _show_fields(figure, axes[2], axes[3], view, low, high, points)
    for panel in axes:
        panel.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="$x_1$")
    axes[0].set_ylabel("$x_2$")
    figure.suptitle(f"after {view.batches} batches", fontsize=11)
    return figure


@torch.no_grad()
def _show_fields(figure: Figure, left: Axes, right: Axes, view: View, low: float, high: float, points: int) -> None:
    axis = low + (high - low) * (torch.arange(points) + 0.5) / points
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(-1, 2).to(view.device)
    energy = view.energy(grid)
    density = (-energy - torch.logsumexp(-energy, 0)).exp() / ((high - low) / points) ** 2
    probability = torch.sigmoid(-energy - view.log_z - view.sampler.log_prob(grid))
    for axes, values, title, colours, top in (
        (left, density, "density of the model exp(-c)/Z", "viridis", None),
        (right, probability, "discriminator D", "RdBu", 1.0),
    ):
        image = axes.imshow(
            values.view(points, points).cpu().float().numpy(),
            origin="lower",
            extent=(low, high, low, high),
            cmap=colours,
            vmin=0,
            vmax=top,
        )
        figure.colorbar(image, ax=axes, shrink=0.8, label="per unit area" if top is None else "probability of data")
        axes.set_title(title)
