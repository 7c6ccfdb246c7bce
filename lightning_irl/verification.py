"""How far a view is from the paper's equations: the three facts of section 3.2, checked in float64 on its own parts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import logsigmoid

from lightning_irl import objectives
from lightning_irl.learners.score_function import score_function_loss
from lightning_irl.processes import average, gather_each
from lightning_irl.spaces.samples import Samples, count, doubled, to
from lightning_irl.views.modules import frozen, trainable
from lightning_irl.views.view import View

TOLERANCE = 1e-10
CANCELLATION = 1e-3  # share of one side of L_cost's gradient; a difference below it has fewer than ten digits
DIGITS = 60  # decimal digits of the reference root


@dataclass(frozen=True)
class Verification:
    """Distances from the paper's equations.

    Attributes:
        log_z_optimum: fact 1; distance of the solved log_z, and of the mixture estimate at it, from the root of
            E_p[1 - D] = E_q[D], found by bracketing in 60 digits; the larger of the two, in nats. None without a
            density.
        gradient: fact 2; relative distance between the gradient of the discriminator's loss at that log_z and the
            gradient of the mixture form of L_cost. Where the discriminator saturates (trajectories), the two terms of
            L_cost's gradient cancel far below float64's resolution, so the norm that divides is at least a thousandth
            of the norm of E_p[grad c/T].
        generator_loss: fact 3; distance between the sum of both usual generator losses and log_z + L_sampler, in nats,
            or relative distance between their gradients in the sampler; the larger of the two.
        trained_gradient: relative distance between the gradient of this view's own ``cost_loss``, with its
            regularisers, and that of L_cost, in the nearer of its two forms (section 2.3: importance, or the mixture,
            which is L_D's). Reported, not judged.
        trained_sampler_gradient: the same for ``sampler_loss`` and L_sampler; for PPO, its first descent with its own
            normalised advantages. None if the sampler has no trainable parameters.
        reason: why there is nothing to judge; empty otherwise.
        departures: where this view departs from the paper's objective, a line each; empty if nowhere.
    """

    log_z_optimum: float | None
    gradient: float | None
    generator_loss: float | None
    trained_gradient: float | None
    trained_sampler_gradient: float | None
    reason: str = ""
    departures: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if everything judged is within 1e-10, 1 if not, 2 if there is nothing to judge."""
        judged = [self.log_z_optimum, self.gradient, self.generator_loss]
        if any(value is None for value in judged):
            return 2
        return int(not all(value is not None and value <= TOLERANCE for value in judged))

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def verify(view: View, demonstrations: Samples, num_draws: int | None = None, seed: int = 0) -> Verification:
    """Check the three facts on a view's own cost and sampler.

    The view is converted to float64 in place.

    Args:
        view: a view.
        demonstrations: N samples, whole trajectories where the samples are trajectories.
        num_draws: number of draws of the sampler; by default a third more than demonstrations, so that a mean over the
            concatenation cannot pass for a mean over the mixture.
        seed: random seed of the draws.
    """
    if not view.scores_demonstrations:
        name = type(view.sampler).__name__
        reason = f"sampler {name} has no density, so there is no D to check"
        if view.states_alone:
            reason = "demonstrations hold states alone, and log q is of states and actions, so there is no D to check"
        return Verification(None, None, None, None, None, reason, tuple(view.departures()))
    view.double().eval()
    demonstrations = to(doubled(demonstrations), view.device)
    num_draws = num_draws or count(demonstrations) + count(demonstrations) // 3 + 1
    pair = view.pair
    demonstrations = pair.at_level(demonstrations)
    torch.manual_seed(seed)
    samples, _ = pair.draw(num_draws)
    demo_log_q, sample_log_q = pair.log_q(demonstrations), pair.log_q(samples)
    demo_cost, sample_cost = pair.energy(demonstrations), pair.energy(samples)
    parameters = trainable(view.cost)

    log_z = objectives.optimal_log_z(demo_cost.detach(), demo_log_q, sample_cost.detach(), sample_log_q)
    truth = reference_log_z(demo_cost.detach(), demo_log_q, sample_cost.detach(), sample_log_q)
    demo_log_mu = objectives.mixture_log_density(-demo_cost - log_z, demo_log_q)
    sample_log_mu = objectives.mixture_log_density(-sample_cost - log_z, sample_log_q)
    mixture_log_z = objectives.mixture_log_z(demo_cost, sample_cost, demo_log_mu, sample_log_mu)

    discriminator_loss = objectives.discriminator_loss(
        objectives.discriminator_logits(demo_cost, demo_log_q, log_z),
        objectives.discriminator_logits(sample_cost, sample_log_q, log_z),
    )
    paper = _gradient(objectives.maxent_cost_loss(demo_cost, mixture_log_z), parameters)
    adversarial = _gradient(discriminator_loss, parameters)
    importance_log_z = objectives.importance_log_z(sample_cost, sample_log_q)
    by_importance = _gradient(objectives.maxent_cost_loss(demo_cost, importance_log_z), parameters)
    with frozen(trainable(view.sampler)):
        loss = view.cost_loss(demonstrations, samples, sample_log_q)
        trained = _gradient(
            sum(view.penalties(demonstrations, samples if view.raised is None else view.raised).values(), loss),
            parameters,
        )
    floor = CANCELLATION * float(_gradient(demo_cost.mean(), parameters).norm())

    generator_loss, trained_sampler = _compare_samplers(view, demonstrations, log_z, num_draws, seed)
    return Verification(
        log_z_optimum=max(abs(float(log_z) - truth), abs(float(mixture_log_z.detach()) - truth)),
        gradient=_relative(adversarial, paper, floor),
        generator_loss=generator_loss,
        trained_gradient=min(_relative(trained, paper, floor), _relative(trained, by_importance)),
        trained_sampler_gradient=trained_sampler,
        departures=tuple(view.departures()),
    )


def monitor(view: View, demonstrations: Samples) -> dict[str, Tensor]:
    """The three facts at the view's own log_z and in its own precision, on fresh draws, to monitor a run.

    Args:
        view: a view whose sampler has a density.
        demonstrations: N samples, whole trajectories where the samples are trajectories.

    Returns:
        Scalars: ``log_z_gap`` (log_z minus the batch's optimum, in nats); ``gradient_cosine`` and
        ``gradient_distance`` (between the discriminator's gradient at log_z and the gradient of L_cost);
        ``generator_loss_gap`` (nats).
    """
    pair = view.pair
    demonstrations = pair.at_level(demonstrations)
    samples, _ = pair.draw(view.draws(demonstrations))
    sample_log_q = pair.log_q(samples)
    demo_log_q, log_z = pair.log_q(demonstrations), view.log_z.detach()
    demo_cost, demo_log_q, sample_cost, sample_log_q = gather_each(
        pair.energy(demonstrations), demo_log_q, pair.energy(samples), sample_log_q
    )
    parameters = trainable(view.cost)
    optimum = objectives.optimal_log_z(demo_cost.detach(), demo_log_q, sample_cost.detach(), sample_log_q)
    mixture_log_z = objectives.mixture_log_z(
        demo_cost,
        sample_cost,
        objectives.mixture_log_density(-demo_cost - optimum, demo_log_q),
        objectives.mixture_log_density(-sample_cost - optimum, sample_log_q),
    )
    logits = objectives.discriminator_logits(sample_cost, sample_log_q, log_z)
    discriminator_loss = objectives.discriminator_loss(
        objectives.discriminator_logits(demo_cost, demo_log_q, log_z), logits
    )
    paper = average(_gradient(objectives.maxent_cost_loss(demo_cost, mixture_log_z), parameters))
    adversarial = average(_gradient(discriminator_loss, parameters))
    usual = objectives.saturating_generator_loss(logits) + objectives.non_saturating_generator_loss(logits)
    return {
        "log_z_gap": log_z - optimum,
        "gradient_cosine": torch.cosine_similarity(adversarial, paper, 0),
        "gradient_distance": (adversarial - paper).norm() / paper.norm(),
        "generator_loss_gap": (usual - log_z - objectives.sampler_loss(sample_cost, sample_log_q)).abs().detach(),
    }


def reference_log_z(demo_cost: Tensor, demo_log_q: Tensor, sample_cost: Tensor, sample_log_q: Tensor) -> float:
    """The root of E_p[1 - D] = E_q[D], by bracketing in 60 digits; arguments as for ``objectives.optimal_log_z``."""
    import mpmath  # slow to import

    demo = [mpmath.mpf(value) for value in (-demo_cost - demo_log_q).tolist()]
    sample = [mpmath.mpf(value) for value in (-sample_cost - sample_log_q).tolist()]
    with mpmath.workdps(DIGITS):

        def mean_sigmoid(logits: list[Any]) -> Any:
            return mpmath.fsum(1 / (1 + mpmath.exp(-logit)) for logit in logits) / len(logits)

        def difference(log_z: Any) -> Any:
            # E_p[1-D] - E_q[D] = E_q[1-D] - E_p[D]; the form whose terms are small keeps its digits.
            not_demo = mean_sigmoid([log_z - value for value in demo])
            if not_demo < 0.5:
                return not_demo - mean_sigmoid([value - log_z for value in sample])
            not_sample = mean_sigmoid([log_z - value for value in sample])
            return not_sample - mean_sigmoid([value - log_z for value in demo])

        low, high = min(demo + sample) - 1, max(demo + sample) + 1
        while high - low > mpmath.mpf(10) ** -18 * max(1, abs(low), abs(high)):
            middle = (low + high) / 2
            low, high = (middle, high) if difference(middle) < 0 else (low, middle)
        return float((low + high) / 2)


def _compare_samplers(
    view: View, demonstrations: Samples, log_z: Tensor, num_draws: int, seed: int
) -> tuple[float, float | None]:
    parameters = trainable(view.sampler)

    def drawn() -> tuple[Tensor, Tensor, Samples]:
        torch.manual_seed(seed)
        draw = view.sampler.rsample if view.sampler.has_rsample else view.sampler.sample
        whole, log_q = draw(num_draws)
        samples = view.pair.at_level(whole)
        if log_q is None or samples is not whole or not view.sampler.has_rsample:
            log_q = view.sampler.log_prob(samples)
        return view.energy(samples), log_q, whole

    def descending(values: Tensor, log_q: Tensor) -> Tensor:
        """A differentiable loss for the mean of the values (B,); by the score function if draws have no gradient."""
        return values.mean() if view.sampler.has_rsample else score_function_loss(values, log_q)

    with frozen(trainable(view.cost)):
        cost, log_q, whole = drawn()
        logits = objectives.discriminator_logits(cost, log_q, log_z)
        usual = logsigmoid(-logits) - logsigmoid(logits)
        paper = log_z + cost + log_q
        distances = [
            float((loss - log_z - objectives.sampler_loss(cost, log_q)).detach().abs())
            for loss in (usual.mean(), objectives.generator_loss(logits))
        ]
        if not parameters:
            return max(distances), None
        paper_gradient = _gradient(descending(paper, log_q), parameters)
        distances.append(_relative(_gradient(descending(usual, log_q), parameters), paper_gradient))
        torch.manual_seed(seed)
        if not view.sampler_steps or not view.learner.begin(view.sampler, view.step_objective, whole):
            return max(distances), None
        drawing = copy.copy(view)  # the same modules, with a number of draws of its own
        drawing.num_samples = num_draws
        trained = _gradient(drawing.sampler_loss(demonstrations), parameters)
    return max(distances), _relative(trained, paper_gradient)


def _gradient(loss: Tensor, parameters: Sequence[Parameter]) -> Tensor:
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    pairs = zip(gradients, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def _relative(value: Tensor, reference: Tensor, floor: float = 0.0) -> float:
    return float((value - reference).norm() / reference.norm().clamp(min=floor))
