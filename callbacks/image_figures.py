"""Figures that judge a model of images: nearest neighbours, interpolations, chains, and histograms of energies.

Images are grey levels or colours in [0, 1]. Numbers stand beside the images they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import pad

DEMONSTRATIONS, DRAWS = "#1f4e79", "#b5460f"
COLOURS = {
    "training": DEMONSTRATIONS,
    "test": "#5b9bd5",
    "val": "#5b9bd5",
    "sampler q": DRAWS,
    "out of distribution": "#444444",
}
SHOWN = 0.01  # share of each group, at either end of a histogram, that lies beyond its axis
CHAINS, MOMENTS = 6, 12  # chains shown, and states shown of each
SIDE_BY_SIDE = 4  # channels shown of one image


def drawable(images: Tensor) -> Tensor:
    """Images (B, C, H, W) in a form that can be drawn: grey or colour; of other numbers of channels, the first ones
    side by side.

    Example:
        >>> drawable(torch.zeros(5, 2, 8, 8)).shape, drawable(torch.zeros(5, 3, 8, 8)).shape
        (torch.Size([5, 1, 8, 17]), torch.Size([5, 3, 8, 8]))
    """
    if images.shape[1] in (1, 3):
        return images
    first, *others = images[:, :SIDE_BY_SIDE].split(1, 1)
    return torch.cat([first, *(pad(other, (1, 0, 0, 0), value=0.5) for other in others)], 3)


def channels_shown(channels: int) -> str:
    """Which channels :func:`drawable` shows, as the end of a title.

    Example:
        >>> channels_shown(1), channels_shown(2), channels_shown(8)
        ('', '; 2 channels side by side', '; the first 4 of 8 channels side by side')
    """
    if channels in (1, 3):
        return ""
    return (
        f"; {channels if channels <= SIDE_BY_SIDE else f'the first {SIDE_BY_SIDE} of {channels}'} channels side by side"
    )


def _tiles_wide(images: Tensor) -> int:
    """Number of images that :func:`drawable` puts side by side for one image."""
    return drawable(images[:1]).shape[3] // images.shape[3]


def _show_tiles(axes: Axes, rows: Sequence[Tensor], below: Sequence[str], beside: Sequence[str]) -> None:
    """Rows of K images (K, C, H, W), with a text below each column and one beside each row."""
    tiles = [pad(row.detach().cpu().float().clamp(0, 1), (1, 1, 1, 1), value=0.5) for row in map(drawable, rows)]
    height, width = tiles[0].shape[2:]
    picture = torch.cat([torch.cat(list(row), 2) for row in tiles], 1).permute(1, 2, 0)
    axes.imshow(picture.numpy().squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([width * (index + 0.5) - 0.5 for index in range(len(rows[0]))], below, fontsize=8)
    axes.set_yticks([height * (index + 0.5) - 0.5 for index in range(len(rows))], beside, fontsize=9)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def neighbour_figure(
    samples: dict[str, Tensor], neighbours: dict[str, Tensor], distances: dict[str, Tensor], usual: float, batch: int
) -> Figure:
    """Samples of each source above their nearest training images, ordered by distance.

    Args:
        samples: images (K, C, H, W) by source.
        neighbours: the nearest training image of each.
        distances: Euclidean distances to them (K,), in grey levels.
        usual: median distance of a training image to the nearest other one.
        batch: batches trained.
    """
    columns = max(len(images) for images in samples.values())
    wide = _tiles_wide(next(iter(samples.values())))
    figure = Figure(figsize=(1.6 + 0.8 * columns * wide, 0.6 + 2.15 * len(samples)), layout="constrained")
    panels = figure.subplots(len(samples), 1, squeeze=False)[:, 0]
    for axes, (source, images) in zip(panels, samples.items(), strict=True):
        below = [f"{distance:.2f}" for distance in distances[source].tolist()]
        _show_tiles(axes, [images, neighbours[source]], below, [source, "nearest in training"])
    panels[-1].set_xlabel(
        f"Euclidean distance in grey levels from 0 to 1; a training image is {usual:.2f} from the nearest other "
        "(median)"
    )
    channels = next(iter(samples.values())).shape[1]
    figure.suptitle(f"after {batch} batches{channels_shown(channels)}", fontsize=11)
    return figure


def interpolation_figure(paths: Tensor, energies: Tensor, how: str, batch: int) -> Figure:
    """Paths from one demonstration (left) to another (right), each image with its energy below.

    Args:
        paths: (R, K, C, H, W).
        energies: c/T of each image (R, K), in nats.
        how: the coordinates in which the paths are straight.
        batch: batches trained.
    """
    rows, columns = paths.shape[:2]
    wide = _tiles_wide(paths[0])
    figure = Figure(figsize=(1.6 + 0.85 * columns * wide, 0.9 + 1.2 * rows), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for axes, images, energy in zip(panels, paths, energies.tolist(), strict=True):
        _show_tiles(axes, [images], [f"{value:.1f}" for value in energy], [""])
    panels[-1].set_xlabel("below each image: its energy c/T (nats)")
    figure.suptitle(
        f"between two held-out demonstrations, straight in {how}; after {batch} "
        f"batches{channels_shown(paths.shape[2])}",
        fontsize=11,
    )
    return figure


def chain_figure(images: Tensor, energies: Tensor, title: str) -> Figure:
    """Samples along chains, and below them the energy of every state.

    Args:
        images: states (C, T, channels, H, W) of C chains.
        energies: c/T of each (C, T), in nats.
        title: the kind of chains.

    Example:
        >>> figure = chain_figure(torch.rand(2, 50, 1, 8, 8), torch.randn(2, 50), "chains")
        >>> len(figure.axes)
        2
    """
    chains, steps = min(len(images), CHAINS), images.shape[1]
    moments = torch.linspace(0, steps - 1, min(MOMENTS, steps)).round().long()
    aspect = images.shape[3] / images.shape[4]
    width = 1.2 + 0.75 * len(moments) * _tiles_wide(images[0])
    upper = 0.75 * aspect * chains + 0.3
    figure = Figure(figsize=(width, upper + 3), layout="constrained")
    tiles, curves = figure.subplots(2, 1, height_ratios=[upper, 2.4])
    shown = [chain[moments.to(chain.device)] for chain in images[:chains]]
    _show_tiles(
        tiles,
        shown,
        [f"{step}" if step else "step 0" for step in moments.tolist()],
        [f"chain {index + 1}" for index in range(chains)],
    )
    tiles.set_title(title + channels_shown(images.shape[2]).replace("; ", "\n"), fontsize=11)
    for index, energy in enumerate(energies.detach().cpu().double()):
        is_shown = index < chains
        curves.plot(
            energy.numpy(),
            linewidth=1.2 if is_shown else 0.5,
            color=f"C{index}" if is_shown else "0.75",
            zorder=2 if is_shown else 1,
            label=f"chain {index + 1}" if is_shown else None,
        )
        if is_shown:
            curves.plot(moments.numpy(), energy[moments].numpy(), ".", color=f"C{index}", markersize=5)
    curves.set(
        xlabel="step of the chain (dots: the states shown)", ylabel="energy c/T (nats)", xlim=(0, max(steps - 1, 1))
    )
    curves.grid(alpha=0.3)
    curves.legend(fontsize=8, ncols=min(chains, 6), loc="best")
    return figure


def histogram_figure(panels: dict[str, dict[str, Tensor]], batch: int, bins: int = 40) -> Figure:
    """Histograms of scores: a panel for each score, and an area of 1 for each group of samples.

    The axis covers the middle 98 % of every group; the legend gives the share beyond it.

    Args:
        panels: by name of the score, the scores (N,) of each group.
        batch: batches trained.
        bins: number of bins in each panel.
    """
    figure = Figure(figsize=(5.2 * len(panels), 4.2), layout="constrained")
    for axes, (score, groups) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        values = {name: group.detach().cpu().double() for name, group in groups.items()}
        finite = [group[group.isfinite()] for group in values.values()]
        ends = torch.tensor([SHOWN, 1 - SHOWN], dtype=torch.float64)
        edges = torch.stack([group.quantile(ends) for group in finite if len(group)])
        low, high = edges[:, 0].min().item(), edges[:, 1].max().item()
        margin = 0.03 * (high - low) or 1.0
        grid = torch.linspace(low - margin, high + margin, bins + 1, dtype=torch.float64)
        for name, group in values.items():
            inside = (group >= grid[0]) & (group <= grid[-1])
            counts = torch.histogram(group[inside], grid).hist
            density = counts / (len(group) * (grid[1] - grid[0]))
            beyond = 1 - float(inside.double().mean())
            label = f"{name} ({len(group)})" + (f", {beyond:.1%} beyond" if beyond >= 5e-4 else "")
            colour = COLOURS.get(name, "#2e7d32")
            axes.stairs(density.numpy(), grid.numpy(), color=colour, linewidth=1.4, label=label)
            axes.stairs(density.numpy(), grid.numpy(), color=colour, alpha=0.08, fill=True)
        axes.set(
            xlabel=score, ylabel="share of the group per nat", xlim=(grid[0].item(), grid[-1].item()), ylim=(0, None)
        )
        axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
        axes.legend(fontsize=8)
    figure.suptitle(f"after {batch} batches", fontsize=11)
    return figure
