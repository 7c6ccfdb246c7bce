"""Options that another option makes moot: a table of rules, and a line for each one that a view was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from lightning_irl.learners.solved import SolvedLearner
from lightning_irl.views import factories, trainer_limits
from lightning_irl.views.factories import defaults, is_default


class Rule(NamedTuple):
    """A rule for when options have no effect.

    Attributes:
        options: names of the options.
        when: called with their owner, such as a view, and the values of all its options.
        because: the reason, as the end of a sentence.
        instead: what to do instead.
    """

    options: tuple[str, ...]
    when: Callable[[Any, Mapping[str, Any]], bool]
    because: str
    instead: str


RULES = (
    Rule(
        ("temperature", "num_samples", "entropy_weight", "likelihood_weight"),
        lambda view, given: not (view.cost_steps or view.sampler_steps),
        "cost_steps and sampler_steps are 0, so the sampler learns by likelihood alone",
        "remove it, or raise one of them",
    ),
    Rule(
        ("cost_optimizer", "cost_scheduler", "cost_batch", "keep_rounds", "log_z_by", "margin"),
        lambda view, given: not view.cost_steps,
        "cost_steps is 0, so the cost is fixed",
        "remove it, or raise cost_steps",
    ),
    Rule(
        ("sampler_optimizer",),
        lambda view, given: not view.sampler_steps and not (view.warm_start and given["warm_start_optimizer"] is None),
        "sampler_steps is 0, so the sampler is fixed",
        "remove it, or raise sampler_steps",
    ),
    Rule(
        ("sampler_scheduler", "entropy_weight", "likelihood_weight", "generator_loss", "sampler_learns_from"),
        lambda view, given: not view.sampler_steps,
        "sampler_steps is 0, so the sampler is fixed",
        "remove it, or raise sampler_steps",
    ),
    Rule(
        ("warm_start_optimizer", "warm_start_scheduler"),
        lambda view, given: not view.warm_start,
        "warm_start is 0",
        "set warm_start to the number of batches, or remove it",
    ),
    Rule(
        ("sampler_optimizer", "sampler_scheduler", "likelihood_weight"),
        lambda view, given: isinstance(view.learner, SolvedLearner) and not view.warm_start,
        "the learner solves for the policy, and nothing is descended",
        "remove it, or set learner to PPO",
    ),
    Rule(
        ("log_z_by",),
        lambda view, given: given.get("discriminator", "density") != "density",
        "this discriminator has no log Z",
        "remove it, or set discriminator=density",
    ),
    Rule(
        ("entropy_weight", "learner"),
        lambda view, given: given.get("sampler_learns_from") == "chains",
        "sampler_learns_from is chains: the sampler learns by the likelihood of their ends",
        "remove it, or set sampler_learns_from=cost",
    ),
)
CONTRADICTIONS = (
    Rule(
        ("discriminator", "margin", "generator_loss", "log_z_by"),
        lambda view, given: given.get("objective") == "guided_cost",
        "objective is guided_cost, whose log Z is that of its negative phase and whose loss has no discriminator",
        "remove it, or set objective=discriminator",
    ),
    Rule(
        ("negative_phase", "p_hat"),
        lambda view, given: given.get("objective") == "discriminator",
        "objective is discriminator, whose loss has no negative phase",
        "remove it, or set objective=guided_cost",
    ),
    Rule(
        ("p_hat",),
        lambda view, given: given.get("negative_phase", "mixture") != "mixture",
        "only negative_phase=mixture uses it",
        "remove it, or set negative_phase=mixture",
    ),
    Rule(
        ("chains",),
        lambda view, given: given.get("negative_phase", "mcmc") != "mcmc",
        "negative_phase is not mcmc, so no chain runs",
        "remove it, or set negative_phase=mcmc",
    ),
)
CHAINS = (
    Rule(
        ("buffer_size", "restart_share", "restart_from"),
        lambda chains, given: given["start"] != "persistent",
        "start is not persistent, so all chains start anew",
        "remove it, or set start=persistent",
    ),
)


def of_view(view: Any, values: Mapping[str, Any]) -> Iterator[str]:
    """A line for each option of a view that has no effect, when it is about to train.

    Args:
        view: the view, with its trainer.
        values: its options, by name.
    """
    yield from moot(view, values)
    chains = getattr(view, "chains", None)
    if chains is not None:
        yield from (f"chains: {line}" for line in moot(chains, vars(chains), CHAINS))
    learns = view.cost_steps or view.sampler_steps
    if view.warm_start and learns and trainer_limits.batches_of("cost", view.trainer, view.warm_start) == 0:
        yield (
            f"the run ends within its warm start of {view.warm_start} batches, so the cost learns nothing: raise "
            "trainer.max_epochs, or lower warm_start"
        )


def refuse_contradictions(view: Any, values: Mapping[str, Any]) -> None:
    """Refuse options of a view that contradict each other.

    Args:
        view: the view, once built.
        values: its options, by name.

    Raises:
        ValueError: naming the options, why they contradict, and what to do.
    """
    for names, rule in _broken(view, values, CONTRADICTIONS):
        words = {name: view.described.get(name) or factories.describe(values[name]) for name in names}
        shown = ", ".join(f"{name}={value}" for name, value in words.items())
        does = "does" if len(names) == 1 else "do"
        raise ValueError(f"{shown} {does} nothing here: {rule.because}; {rule.instead}")


def moot(owner: object, values: Mapping[str, Any], rules: Iterable[Rule] = RULES) -> Iterator[str]:
    """A line for each rule that applies to an option that was given.

    Args:
        owner: the object that has the options.
        values: the options, by name; those left out have their defaults. An option counts as given if it differs from
            its default.
        rules: rules to apply; the first that applies names the option.
    """
    for names, rule in _broken(owner, values, rules):
        yield f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} no effect: {rule.because}; {rule.instead}"


def _broken(owner: object, values: Mapping[str, Any], rules: Iterable[Rule]) -> Iterator[tuple[list[str], Rule]]:
    """Each rule that applies to options that were given, with their names."""
    ours = defaults(type(owner))
    given, named = ours | dict(values), set[str]()
    for rule in rules:
        names = [name for name in rule.options if name in values and not is_default(values[name], ours.get(name))]
        names = [name for name in names if name not in named]
        if names and rule.when(owner, given):
            named.update(names)
            yield names, rule
