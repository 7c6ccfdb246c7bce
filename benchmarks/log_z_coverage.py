"""Do the intervals of the estimators of log Z hold what they promise, and is a missed mode noticed?

    python benchmarks/log_z_coverage.py --repetitions 200 --store coverage.jsonl

Each repetition is one line of the store, and repetitions that are there already are not run again, so that a run can be
stopped and resumed, or spread over processes (each with its own ``--problems``). ``--report`` only prints the tables.

A problem names in advance the estimators for which it is good: those must call themselves reliable. Every estimate that
certifies and calls itself reliable must cover the truth at its rate, on all problems.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lightning_irl.partition import annealed, estimate_all
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.samplers.mixture import GaussianMixtureSampler
from lightning_irl.spaces.event import Event, make_event

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Problem:
    """One cost with a known log Z, a sampler, and what is expected of them.

    Attributes:
        about: one line for the table.
        cost: samples -> costs.
        log_z: the truth, in nats.
        event: what a sample looks like, its location and scale those of the demonstrations.
        sampler: makes q.
        good_for: estimators that must call themselves reliable.
        must_doubt: estimators that must not, because the sampler misses a mode.
        demonstrations: makes some that are not draws of the model, if any.
        options: for ``estimate_all``.
    """

    about: str
    cost: Callable[[Tensor], Tensor]
    log_z: float
    event: Event
    sampler: Callable[[], Sampler]
    good_for: tuple[str, ...] = ()
    must_doubt: tuple[str, ...] = ()
    demonstrations: Callable[[], Tensor] | None = None
    options: dict[str, object] = field(default_factory=dict)


def gaussians(event: Event, weights: list[float], means: Tensor, scales: list[float]) -> GaussianMixtureSampler:
    """A fixed mixture of isotropic Gaussians."""
    sampler = GaussianMixtureSampler(event, components=len(weights))
    with torch.no_grad():
        sampler.logits.copy_(torch.tensor(weights).log())
        sampler.means.copy_(means)
        sampler.log_scales.copy_(torch.tensor(scales).log()[:, None].expand_as(sampler.log_scales))
    return sampler


def gaussian_mixture_cost(
    weights: list[float], means: Tensor, scales: list[float], log_z: float
) -> Callable[[Tensor], Tensor]:
    """-log of a mixture density of isotropic Gaussians, shifted so that its log Z is ``log_z``."""
    widths = torch.tensor(scales)
    constant = torch.tensor(weights).log() - means.shape[1] * (widths.log() + LOG_2PI / 2) + log_z

    def cost(samples: Tensor) -> Tensor:
        squares = (samples[:, None] - means).square().sum(-1)
        return -torch.logsumexp(constant - squares / (2 * widths.square()), 1)

    return cost


def axis(dimension: int, distance: float) -> Tensor:
    """Two means, at the origin and ``distance`` along the diagonal."""
    return torch.stack([torch.zeros(dimension), torch.full((dimension,), distance / math.sqrt(dimension))])


def skewed_1d() -> Problem:
    event = make_event("point", [1], location=[0.75], scale=[0.65])
    return Problem(
        about="skew normal, slope 5; sampler a Gaussian",
        cost=lambda x: (x.square() / 2 - torch.special.log_ndtr(5 * x)).sum(-1),
        log_z=LOG_2PI / 2 - math.log(2),
        event=event,
        sampler=lambda: gaussians(event, [1.0], torch.tensor([[0.4]]), [1.3]),
        good_for=("quadrature", "annealed_broad", "annealed", "bridge", "importance"),
    )


def mixture_2d() -> Problem:
    event = make_event("point", [2], location=[0.5], scale=[1.0])
    means = torch.tensor([[-1.0, 0.0], [2.0, 1.0]])
    return Problem(
        about="two unequal Gaussians; demonstrations from neither",
        cost=gaussian_mixture_cost([0.8, 0.2], means, [1.0, 0.5], 3.0),
        log_z=3.0,
        event=event,
        sampler=lambda: gaussians(event, [0.6, 0.4], means, [1.4, 0.9]),
        good_for=("quadrature", "annealed_broad", "annealed", "bridge", "importance"),
        demonstrations=lambda: 0.5 + torch.randn(1000, 2),
    )


def box_4d() -> Problem:
    event = make_event("image", [1, 2, 2], support="box", location=[1 / 3], scale=[0.18])
    log_beta = math.lgamma(2) + math.lgamma(4) - math.lgamma(6)
    return Problem(
        about="beta(2, 4) pixels on [0, 1]; sampler uniform",
        cost=lambda x: -(x.log() + 3 * torch.log1p(-x)).flatten(1).sum(-1),
        log_z=4 * log_beta,
        event=event,
        sampler=lambda: BroadSampler(event),
        good_for=("annealed_broad", "annealed", "bridge", "importance"),
    )


def log_gamma_16d() -> Problem:
    event = make_event("point", [16], location=[0.42], scale=[0.8])
    return Problem(
        about="log of gamma(2), left tail exponential; demonstrations Gaussian",
        cost=lambda x: (x.exp() - 2 * x).sum(-1),
        log_z=0.0,
        event=event,
        sampler=lambda: gaussians(event, [1.0], torch.tensor([[0.42]]).expand(1, 16), [0.85]),
        good_for=("annealed_broad", "annealed", "bridge"),
        demonstrations=lambda: 0.42 + 0.8 * torch.randn(1000, 16),
    )


def gaussian_64d() -> Problem:
    event = make_event("image", [1, 8, 8], location=[0.0], scale=[0.3])
    return Problem(
        about="isotropic Gaussian; sampler 1.1 times as wide; 400 temperatures",
        cost=lambda x: x.flatten(1).square().sum(-1) / (2 * 0.3**2),
        log_z=64 * (math.log(0.3) + LOG_2PI / 2),
        event=event,
        sampler=lambda: BroadSampler(event, width=1.1),
        good_for=("annealed_broad", "annealed", "bridge", "importance"),
        options={"num_temperatures": 400},
    )


def missed_mode(dimension: int, distance: float, share: float, width: float) -> Callable[[], Problem]:
    """The sampler and the demonstrations know the mode at the origin only."""

    def problem() -> Problem:
        event = make_event("point", [dimension])
        means = axis(dimension, distance)
        return Problem(
            about=f"{dimension}-D, a mode of mass {share:.0%} and width {width} at distance {distance:g}",
            cost=gaussian_mixture_cost([1 - share, share], means, [1.0, width], 0.0),
            log_z=0.0,
            event=event,
            sampler=lambda: gaussians(event, [1.0], means[:1], [1.1]),
            must_doubt=("importance",),
            demonstrations=lambda: torch.randn(1000, dimension),
            options={
                "methods": ("annealed_broad", "annealed", "bridge", "importance")
            },  # quadrature would make it easy
        )

    return problem


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "skewed_1d": skewed_1d,
    "mixture_2d": mixture_2d,
    "box_4d": box_4d,
    "log_gamma_16d": log_gamma_16d,
    "gaussian_64d": gaussian_64d,
    "missed_2d": missed_mode(2, 8.0, 0.3, 1.0),
    "missed_2d_near": missed_mode(2, 5.0, 0.3, 1.0),
    "missed_2d_narrow": missed_mode(2, 8.0, 0.3, 0.5),
    "missed_2d_light": missed_mode(2, 8.0, 0.1, 1.0),
    "missed_8d": missed_mode(8, 8.0, 0.3, 1.0),
    "missed_32d": missed_mode(32, 8.0, 0.3, 1.0),
}


def run(name: str, seed: int) -> dict[str, object]:
    """One repetition as a line of the store."""
    problem = PROBLEMS[name]()
    torch.manual_seed(seed)
    begin = time.process_time()
    demonstrations = problem.demonstrations() if problem.demonstrations else None
    estimates = estimate_all(problem.cost, problem.sampler(), problem.event, demonstrations, **problem.options)
    rows = [
        {
            "method": estimate.method,
            "error": estimate.log_z - problem.log_z,
            "stderr": estimate.stderr,
            "ess": estimate.ess,
            "k_hat": estimate.k_hat,
            "certifies": estimate.certifies,
            "reliable": estimate.reliable,
            "reason": estimate.reason,
        }
        for estimate in estimates
    ]
    return {"problem": name, "seed": seed, "seconds": time.process_time() - begin, "estimates": rows}


def annealed_64d(repetitions: int) -> str:
    """Error and CPU time of annealing on |x|^2 / (2 0.3^2) from N(0, 1) in 64-D."""
    event = make_event("point", [64])
    truth, errors, stderrs, seconds = 64 * (math.log(0.3) + LOG_2PI / 2), [], [], []
    for seed in range(repetitions):
        torch.manual_seed(seed)
        begin = time.process_time()
        estimate = annealed(
            lambda x: x.square().sum(-1) / (2 * 0.3**2),
            BroadSampler(event, width=1.0),
            num_chains=1024,
            num_temperatures=400,
        )
        seconds.append(time.process_time() - begin)
        errors.append(estimate.log_z - truth)
        stderrs.append(estimate.stderr)
    sizes = torch.tensor(errors).abs()
    return (
        f"annealed, 64-D Gaussian from N(0, 1), truth {truth:.2f}: 1024 chains, 400 temperatures, {repetitions} seeds: "
        f"|error| median {sizes.median():.3f}, largest {sizes.max():.3f}; {int((sizes <= 0.1).sum())} of "
        f"{repetitions} within "
        f"0.1 nats; stderr {sum(stderrs) / len(stderrs):.3f}; {max(seconds):.1f} CPU seconds at most"
    )


def read(store: Path) -> list[dict]:
    """Lines of the store."""
    return [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []


def tables(lines: list[dict]) -> str:
    """Both tables as Markdown."""
    by_problem: dict[str, list[dict]] = defaultdict(list)
    for line in lines:
        by_problem[line["problem"]].append(line)
    coverage = [
        "| problem | estimator | good in advance | reliable | covers, of the reliable | mean error | RMS error | mean "
        "stderr |",
        "|---|---|---|---|---|---|---|---|",
    ]
    missed = [
        "| problem | estimator | must doubt | called unreliable | unreliable or right | mean error |",
        "|---|---|---|---|---|---|",
    ]
    for name, make in PROBLEMS.items():
        if not (repetitions := by_problem.get(name)):
            continue
        problem, by_method = make(), defaultdict(list)
        for line in repetitions:
            for row in line["estimates"]:
                by_method[row["method"]].append(row)
        seconds = sum(line["seconds"] for line in repetitions) / len(repetitions)
        header = f"{name} ({problem.about}; {len(repetitions)} repetitions of {seconds:.1f} s)"
        for method, rows in by_method.items():
            trusted = [row for row in rows if row["reliable"]]
            covered = sum(abs(row["error"]) <= 1.96 * row["stderr"] for row in trusted)
            share = f"{covered / len(trusted):.1%} of {len(trusted)}" if trusted else "-"
            mean = sum(row["error"] for row in rows) / len(rows)
            rms = math.sqrt(sum(row["error"] ** 2 for row in rows) / len(rows))
            error = sum(row["stderr"] for row in rows) / len(rows)
            if problem.must_doubt:
                doubted = 1 - len(trusted) / len(rows)
                must = "yes" if method in problem.must_doubt else ""
                harmless = doubted + covered / len(rows)
                missed.append(f"| {header} | {method} | {must} | {doubted:.1%} | {harmless:.1%} | {mean:+.3f} |")
            else:
                good = "yes" if method in problem.good_for else ""
                coverage.append(
                    f"| {header} | {method} | {good} | {len(trusted) / len(rows):.1%} | {share} "
                    f"| {mean:+.4f} | {rms:.4f} | {error:.4f} |"
                )
            header = ""
    return "\n".join([*coverage, "", *missed])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--repetitions", type=int, default=200, help="seeds 0 to this, excluded")
    parser.add_argument(
        "--store", type=Path, default=Path("log_z_coverage.jsonl"), help="results, one repetition a line"
    )
    parser.add_argument("--annealed-64d", type=int, default=0, metavar="SEEDS", help="also time annealing in 64-D")
    parser.add_argument("--report", action="store_true", help="print the tables of the store and run nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.report:
        done = {(line["problem"], line["seed"]) for line in read(arguments.store)}
        # Seeds outermost: whenever the run is stopped, all problems have about as many repetitions.
        for seed in range(arguments.repetitions):
            for name in arguments.problems:
                if (name, seed) not in done:
                    with arguments.store.open("a") as file:
                        file.write(json.dumps(run(name, seed)) + "\n")
    print(tables(read(arguments.store)))
    if arguments.annealed_64d:
        print("\n" + annealed_64d(arguments.annealed_64d))


if __name__ == "__main__":
    main()
