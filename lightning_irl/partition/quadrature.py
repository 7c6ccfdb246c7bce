"""log Z on a grid, for events of one or two coordinates; over every state, for events of discrete levels."""

from __future__ import annotations

import math

import numpy
import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction, Energy, as_energy
from lightning_irl.partition.estimate import PartitionEstimate
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.lattice import Lattice
from lightning_irl.spaces.space import MOST_COORDINATES, MOST_STATES, Space, space_of

NODES_PER_PANEL = 8
INITIAL_HALF_WIDTH = 8.0
ENLARGEMENT = 1.5
MAX_ENLARGEMENTS = 12
MAX_REFINEMENTS = 3
MAX_POINTS = 4_000_000
TOLERANCE = 1e-4
UNSETTLED = 0.01


def quadrature(
    cost: CostFunction,
    event: Event,
    low: float | None = None,
    high: float | None = None,
    points: int | None = None,
    batch_size: int = 65536,
) -> PartitionEstimate:
    r"""log Z by composite Gauss-Legendre quadrature, enlarged and refined until it stops changing.

    .. math:: \log Z = \log \sum_i w_i e^{-c(x_i)}

    On a box the grid is the box. On a real support it starts at location +- 8 scale and is enlarged by half until log Z
    changes by less than 1e-4 nats, which never happens if exp(-c) is not integrable. It misses a mode that is narrower
    than the spacing, or that lies outside a grid on whose edge exp(-c) is negligible.

    Of discrete levels log Z is the log of a sum over all states, and exact up to rounding; there is no grid to choose.

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats.
        event: of one or two coordinates, or of discrete levels and at most 2^20 states.
        low: lower edge in every coordinate, with ``high``; the grid is then not enlarged.
        high: upper edge in every coordinate.
        points: nodes per axis to start with; default 1024 in 1-D and 256 in 2-D.
        batch_size: nodes evaluated at once.

    Returns:
        The estimate, whose standard error is the change under the last enlargement and refinement.

    Raises:
        ValueError: for more than two coordinates, too many states, or one edge without the other.
    """
    energy, space = as_energy(cost), space_of(event)
    if space.lattice is not None:
        return _sum_over_states(energy, space.lattice, batch_size)
    size = space.dimension
    if size > MOST_COORDINATES:
        raise ValueError(f"quadrature is for 1 or 2 coordinates and the event has {size}; use annealed or bridge")
    if (low is None) != (high is None):
        raise ValueError("give both low and high, or neither")
    centre, half, fixed = _grid_of(space, low, high)
    panels = max((points or (1024 if size == 1 else 256)) // NODES_PER_PANEL, 2)
    log_z = _integrate(energy, space.shape, centre, half, panels, batch_size)
    enlarged = refined = math.inf if not fixed else 0.0
    for _ in range(0 if fixed else MAX_ENLARGEMENTS):
        if (NODES_PER_PANEL * panels * ENLARGEMENT) ** size > MAX_POINTS:
            break
        half, panels = half * ENLARGEMENT, math.ceil(panels * ENLARGEMENT)
        previous, log_z = log_z, _integrate(energy, space.shape, centre, half, panels, batch_size)
        enlarged = abs(log_z - previous)
        if enlarged < TOLERANCE:
            break
    refined = math.inf
    for _ in range(MAX_REFINEMENTS):
        if refined < math.inf and (NODES_PER_PANEL * panels * 2) ** size > MAX_POINTS:
            break
        panels *= 2
        previous, log_z = log_z, _integrate(energy, space.shape, centre, half, panels, batch_size)
        refined = abs(log_z - previous)
        if refined < TOLERANCE:
            break
    doubts = []
    if not enlarged <= UNSETTLED:
        doubts.append(f"log Z still changes by {enlarged:.2g} nats when the grid grows: exp(-c) may not be integrable")
    if not refined <= UNSETTLED:
        doubts.append(f"log Z still changes by {refined:.2g} nats when the grid is refined")
    # Costs are evaluated in the default dtype: its rounding is an error that refinement does not show.
    stderr = max(enlarged, refined, torch.finfo(torch.get_default_dtype()).eps * max(abs(log_z), 1.0))
    return PartitionEstimate(
        log_z=log_z,
        stderr=stderr,
        ess=math.nan,
        k_hat=math.nan,
        method="quadrature",
        num_samples=(panels * NODES_PER_PANEL) ** size,
        certifies=True,
        reliable=math.isfinite(log_z) and not doubts,
        reason="; ".join(doubts),
    )


@torch.no_grad()
def _sum_over_states(energy: Energy, lattice: Lattice, batch_size: int) -> PartitionEstimate:
    if lattice.num_states > MOST_STATES:
        raise ValueError(
            f"quadrature sums over at most {MOST_STATES} states and the event has "
            f"{lattice.levels}^{lattice.dimension}; "
            "use importance"
        )
    like = next(energy.tensors(), torch.empty(0))
    total = torch.tensor(-math.inf, dtype=torch.float64)
    for levels in lattice.states(batch_size):
        values = -energy(lattice.to_samples(levels.to(like.device), like.dtype)).to(torch.float64).cpu()
        total = torch.logaddexp(total, torch.logsumexp(values, 0))
    log_z = float(total)
    return PartitionEstimate(
        log_z=log_z,
        stderr=torch.finfo(like.dtype).eps * max(abs(log_z), 1.0),
        ess=math.nan,
        k_hat=math.nan,
        method="quadrature",
        num_samples=lattice.num_states,
        certifies=True,
        reliable=math.isfinite(log_z),
        reason=f"exact: the sum over all {lattice.num_states} states" if math.isfinite(log_z) else "",
    )


def _grid_of(space: Space, low: float | None, high: float | None) -> tuple[Tensor, Tensor, bool]:
    """Centre (d,) and half width (d,) of the first grid, and whether it must stay."""
    if low is None and space.edges is not None:
        low, high = space.edges
    if low is not None and high is not None:
        ones = torch.ones(space.dimension, dtype=torch.float64)
        return ones * (low + high) / 2, ones * (high - low) / 2, True
    return space.location.double(), INITIAL_HALF_WIDTH * space.scale.double(), False


@torch.no_grad()
def _integrate(
    energy: Energy, shape: tuple[int, ...], centre: Tensor, half: Tensor, panels: int, batch_size: int
) -> float:
    """log of the integral of exp(-c) over the rectangle centre +- half, in float64."""
    reference, weights = (torch.from_numpy(values) for values in numpy.polynomial.legendre.leggauss(NODES_PER_PANEL))
    edges = torch.linspace(-1, 1, panels + 1, dtype=torch.float64)[:-1]
    unit = (edges[:, None] + (reference + 1) / panels).flatten()
    log_weight = (weights / panels).log().repeat(panels)
    axes = [middle + width * unit for middle, width in zip(centre, half, strict=True)]
    grid = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    log_weights = torch.cartesian_prod(*[log_weight + width.log() for width in half]).reshape(-1, len(axes)).sum(-1)
    device = next((parameter.device for parameter in energy.tensors()), torch.device("cpu"))
    total = torch.tensor(-math.inf, dtype=torch.float64)
    for nodes, log_node_weights in zip(grid.split(batch_size), log_weights.split(batch_size), strict=True):
        samples = nodes.to(device, torch.get_default_dtype()).reshape(-1, *shape)
        values = log_node_weights - energy(samples).to(torch.float64).cpu()
        total = torch.logaddexp(total, torch.logsumexp(values, 0))
    return float(total)
