"""Checks that demonstrations come from the environment that a policy acts in.

A check that passes says nothing. A contradiction is refused; a likely mistake is reported in one line, with both
numbers and what to do.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_irl.environments.base import Environment
from lightning_irl.errors import UserError
from lightning_irl.spaces.trajectory import Trajectory

STARTS = 128  # resets of the environment, compared with the demonstrations' first observations
ROUNDING = 1e-3  # share of a coordinate's range up to which two numbers count as equal
SINGLE = 1e-6  # of the largest spread of any coordinate: the resolution of single precision for the others
MOST_OUTSIDE = 0.05  # share of observations beyond the environment's bounds: some environments declare them too narrow
NARROW = 1e-3  # share of a coordinate's range below which demonstrations tell almost nothing about the rest
TAKEN_FOR_CONSTANT = 1e-3  # standard deviation below which the data module may use a scale of 1, and says so itself
WIDEST = 1e3  # the widest range that is taken at its word; wider ones stand for "anything"
CHANCE = 1e-3  # probability of a false warning about starts with the same distribution


def refuse(environment: Environment, parts: list[Trajectory]) -> None:
    """Refuse demonstrations that contradict the environment.

    Args:
        environment: the one that a policy acts in.
        parts: demonstrations of training, validation and test.

    Raises:
        UserError: if demonstrations end before the horizon in an environment that ends no episode.
    """
    ended = sum(int(part.terminal.sum()) for part in parts)
    number = sum(len(part.mask) for part in parts)
    if environment.absorbing or not ended:
        return
    shortest = min(int(part.mask.sum(1).min()) for part in parts)
    raise UserError(
        f"{ended} of {number} demonstrations end before the horizon, but environment {environment.title} ends no "
        "episode: they were cut short, and their length alone would distinguish them. "
        f"Cut all to one length, {shortest} at most, and set horizon to it and absorbing=false on the data"
        + environment.how_to_end
    )


def doubts(environment: Environment, train: Trajectory, recorded_in: str | None) -> list[str]:
    """Look for likely mistakes.

    Args:
        environment: the one that a policy acts in.
        train: training demonstrations (N).
        recorded_in: the demonstrations' name for their environment, such as its id; None if they have none.

    Returns:
        A line for each.
    """
    try:
        starts = environment.starts(STARTS).flatten(1).double().cpu()
    except Exception:  # it will fail again in the first round, which reports it
        starts = torch.zeros(0, math.prod(environment.observation_shape), dtype=torch.float64)
    found = [
        of_another_name(environment, recorded_in),
        beyond_bounds(environment, train, starts) or other_starts(environment, train, starts),
        narrow(environment, train),
        like_a_time_limit(train),
    ]
    return [line for line in found if line]


def of_another_name(environment: Environment, recorded_in: str | None) -> str | None:
    """Whether the demonstrations name another environment, or another version of it."""
    known = environment.gymnasium_id
    if not known or not recorded_in:
        return None
    theirs, ours = (text.rsplit(":", 1)[-1] for text in (recorded_in, known))
    stems = [re.sub(r"-v\d+$", "", text) for text in (theirs, ours)]
    if theirs in (ours, stems[1], type(environment).__name__):  # the second is an id without version
        return None
    what = "another version may move, observe or end otherwise" if stems[0] == stems[1] else "another environment"
    return (
        f"the demonstrations are of {recorded_in}, the environment is {known}: {what}. "
        "Use the demonstrations' environment, or record them again in this one"
    )


def beyond_bounds(environment: Environment, train: Trajectory, starts: Tensor) -> str | None:
    """Whether demonstrated observations lie outside what the environment can observe."""
    if not environment.observation_low:
        return None
    seen = train.observations[:, :-1][train.mask].flatten(1).double().cpu()
    low, high = (
        torch.tensor(edge, dtype=torch.float64).expand(seen.shape[1])
        for edge in (environment.observation_low, environment.observation_high)
    )
    size = torch.where(torch.isfinite(low), low.abs(), 0.0) + torch.where(torch.isfinite(high), high.abs(), 0.0)
    low, high = low - ROUNDING * size, high + ROUNDING * size
    if ((starts < low) | (starts > high)).any():
        return None  # the environment violates its own bounds
    is_outside = (seen < low) | (seen > high)
    share = float(is_outside.any(1).double().mean())
    if share <= MOST_OUTSIDE:
        return None
    worst = int(is_outside.sum(0).argmax())
    mine = environment.observation_low, environment.observation_high
    lowest, highest = (edge[worst if len(edge) > 1 else 0] for edge in mine)
    return (
        f"{share:.0%} of the demonstrations' observations lie outside the bounds of environment {environment.title}: "
        f"coordinate {worst} is between {_range(seen[:, worst])}, the environment's between {lowest:.4g} and "
        f"{highest:.4g}. Store observations as the environment gives them, in its units and not normalised "
        "(cost and policy standardise by the data themselves)"
    )


def narrow(environment: Environment, train: Trajectory) -> str | None:
    """Whether demonstrations cover so little of a coordinate's range that standardised inputs become very large."""
    if not environment.observation_low or train.observations.ndim > 3:  # pixels have one scale for all
        return None
    spread = train.observations[:, :-1][train.mask].flatten(1).double().std(0, correction=0).cpu()
    low, high = (
        torch.tensor(edge, dtype=torch.float64).expand(len(spread))
        for edge in (environment.observation_low, environment.observation_high)
    )
    width = high - low
    is_narrow = (width < WIDEST) & (spread < NARROW * width) & (spread >= TAKEN_FOR_CONSTANT)
    if not is_narrow.any():
        return None
    worst = int(torch.where(is_narrow, width / spread, 0.0).argmax())
    return (
        f"coordinate {worst} of the observations has a standard deviation of {float(spread[worst]):.2g} in the "
        f"demonstrations, but a range of {float(width[worst]):.4g} in environment {environment.title}: standardised "
        f"by the demonstrations, networks see up to {float(width[worst] / spread[worst]):.0f} there. "
        "If the policy is to move it, set normalise=false on the data, or store it in a smaller unit"
    )


def other_starts(environment: Environment, train: Trajectory, starts: Tensor) -> str | None:
    """Whether the demonstrations' first observations and the environment's resets differ, checked both ways."""
    first = train.observations[:, 0].flatten(1).double().cpu()
    spread = train.observations[:, :-1][train.mask].flatten(1).double().std(0, correction=0).cpu()
    for these, those, words in (
        (first, starts, "demonstrations start where environment {name} does not"),
        (starts, first, "resets of environment {name} start where the demonstrations do not"),
    ):
        found = outside(these, those, spread)
        if found is not None:
            return (
                f"{found.number} of {len(these)} {words.format(name=environment.title)}: coordinate "
                f"{found.coordinate} of the first observation is between {_range(first[:, found.coordinate])} in the "
                f"demonstrations, between {_range(starts[:, found.coordinate])} in the environment. Both must start "
                "alike: whole episodes, in the environment's units, from the same resets; a policy's density leaves "
                "out how an episode starts"
            )
    return None


class Outside(NamedTuple):
    """How many points lie outside the range of other points, in the coordinate where most do."""

    number: int
    coordinate: int


def outside(these: Tensor, those: Tensor, spread: Tensor) -> Outside | None:
    """The coordinate in which at least half of these points (N, d) lie beyond all of those (K, d), if not by chance.

    If all N + K points had the same distribution, the m largest would all be among these N with probability
    N! (N + K - m)! / ((N - m)! (N + K)!); both sides of each coordinate are tested.

    Args:
        these: points that may lie outside.
        those: points whose range they are compared with, widened by a tenth and by rounding.
        spread: standard deviation of each coordinate (d,), which sets the size of rounding.
    """
    if not len(these) or not len(those):
        return None
    low, high = those.amin(0), those.amax(0)
    margin = (high - low) / 10 + ROUNDING * (torch.maximum(low.abs(), high.abs()) + spread) + SINGLE * spread.max()
    beyond = torch.maximum((these > high + margin).sum(0), (these < low - margin).sum(0))
    coordinate = int(beyond.argmax())
    number, n, k = int(beyond[coordinate]), len(these), len(those)
    log_chance = (
        math.lgamma(n + 1) + math.lgamma(n + k - number + 1) - math.lgamma(n - number + 1) - math.lgamma(n + k + 1)
    )
    is_chance = math.log(2 * these.shape[1]) + log_chance > math.log(CHANCE)
    return None if number < n / 2 or is_chance else Outside(number, coordinate)


def like_a_time_limit(train: Trajectory) -> str | None:
    """Whether episodes marked as ended share one length, and their last observations look like any other."""
    lengths = train.mask.sum(1)
    ended = lengths[train.terminal].tolist()
    if not ended:
        return None
    length, number = Counter(ended).most_common(1)[0]
    group = train.terminal & (lengths == length)
    different = train.observations[group].flatten(1).unique(dim=0) if number > 1 else train.observations[group]
    if length < 2 or len(different) < 3 or number < len(ended) / 2:
        return None
    last = train.observations[group, length].flatten(1)
    before = train.observations[:, :-1][train.mask].flatten(1)
    is_new = (last < before.amin(0)) | (last > before.amax(0))
    if is_new.sum(0).max() >= number / 2:  # an end shows in some coordinate
        return None
    return (
        f"{number} of the {len(ended)} training demonstrations that count as ended by the environment end after "
        f"exactly {length} steps, in states like any other, as under a recorder's time limit: a policy would learn to "
        f"end there. If it was a time limit, set the data's horizon to {length}"
        + (" and trust_terminal=false" if length == train.num_steps else "")
    )


def _range(values: Tensor) -> str:
    return f"{float(values.min()):.4g} and {float(values.max()):.4g}"
