"""The command line: Lightning's own verbs over our views and data, and the verbs that are not training."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from rich.console import Console
from rich.table import Table

from lightning_irl.errors import Terminated, UserError, did_you_mean, shorten
from lightning_irl.lightning_cli import TrainingCLI, ViewCLI
from lightning_irl.processes import leave
from lightning_irl.quiet import quiet
from lightning_irl.runs import config_name
from lightning_irl.signals import EXIT_CODE
from lightning_irl.verification import TOLERANCE, Verification, verify
from lightning_irl.views.finite import NonFiniteError
from lightning_irl.views.states_alone import check_states_alone
from lightning_irl.workspace import run_workspace

CONFIGS = Path(__file__).parent / "configs"
OVERLAYS = ("logger", "trainer")  # folders of configs that go on top of another one
SWEEPS = "sweeps"  # the folder of what `wandb sweep` takes, which are no configs of ours
TRAINING_VERBS = ("fit", "validate", "test", "predict")
USAGE = """usage: lightning-irl VERB [--config NAME_OR_PATH ...] [--FIELD VALUE ...]

  fit | validate | test | predict   run a config; --help after the verb lists its fields
  verify     check the paper's equations on a config's own cost, sampler and data
             [--ckpt_path P] [--json]; exit code 0: they hold, 1: one does not, 2: no density, so nothing to check
  configs    list the configs that ship
  workspace  make a W&B workspace with panels for what we log: --entity E [--project P] [--name N]; online

  lightning-irl fit --config gan/eight_gaussians --trainer.max_epochs 2
  lightning-irl fit --config gan/eight_gaussians --ckpt_path last    resumes the newest run of this config
                                                 --ckpt_path last_or_new    the same, or starts the first
  lightning-irl test --config runs/RUN/config.yaml --ckpt_path runs/RUN/checkpoints/NAME.ckpt

Everything of a run is in runs/VIEW/CONFIG/TIME_STAMP. Bad input ends with exit code 2 (verify: 3), a loss or gradient that
is not finite with 1. LIGHTNING_IRL_TRACEBACK=1 shows the traceback of bad input too,
and of reports that are left out.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a verb; ``sys.argv[1:]`` becomes the arguments in full, for strategies that start processes from it.

    Returns:
        The exit code: 0 for success, 1 for a failure, 2 for bad input; ``verify`` has its own.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(
            0, str(Path.cwd())
        )  # as with python -m: a user's own module is found where the command is given
    try:
        if verb in TRAINING_VERBS:
            return run_training(verb, rest)
        if verb == "verify":
            return run_verify(rest)
        if verb == "configs":
            return run_configs()
        if verb == "workspace":
            return run_workspace(rest)
        raise UserError(f"no verb {verb}; {did_you_mean(verb, [*TRAINING_VERBS, 'verify', 'configs', 'workspace'])}")
    except (UserError, NonFiniteError, MisconfigurationException) as error:
        if os.environ.get("LIGHTNING_IRL_TRACEBACK"):
            raise
        print(f"lightning-irl: {shorten(str(error))}", file=sys.stderr)
        return 1 if isinstance(error, NonFiniteError) else 3 if verb == "verify" else 2
    except Terminated as stop:
        print(f"lightning-irl: {stop}", file=sys.stderr)
        return EXIT_CODE
    except SystemExit as stop:  # --help, --print_config
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def run_training(verb: str, arguments: list[str]) -> int:
    """fit, validate, test or predict."""
    arguments, paths = resolve_configs(arguments)
    bases = [path for path in paths if path.parent.name not in OVERLAYS or path.parent.parent != CONFIGS]
    # In place, because strategies that start processes repeat the command from sys.argv.
    sys.argv[1:] = [verb, *arguments]
    with quiet():
        TrainingCLI(verb, config_name(bases[0]) if bases else "run")
    leave()
    return 0


def run_verify(arguments: list[str]) -> int:
    """Check the three facts on a config's own parts."""
    arguments, paths = resolve_configs(arguments)
    sys.argv[1:] = ["verify", *arguments]
    wants_json = "--json" in arguments
    with quiet(chatter=False), contextlib.redirect_stdout(sys.stderr) if wants_json else contextlib.nullcontext():
        cli = ViewCLI(arguments, config_name(paths[0]) if paths else "run")
        cli.datamodule.prepare_data()
        cli.datamodule.setup("fit")
        cli.model.states_alone = check_states_alone(cli.model, cli.datamodule)
        batch = next(iter(cli.datamodule.train_dataloader()))
        result = verify(cli.model, batch.samples)
    if wants_json:
        print(json.dumps(finite(result.as_dict())))
    else:
        console = Console()
        console.print(verification_table(result))
        for departure in result.departures:
            console.print(f"[yellow]not the paper's objective:[/] {departure}")
        if not result.departures:
            console.print("what this config trains is the paper's objective")
    return result.exit_code


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """The same in what JSON knows: null for a number that is not finite, with the reason."""
    bad = [name for name, value in values.items() if isinstance(value, float) and not math.isfinite(value)]
    reasons = [str(values["reason"])] * bool(values["reason"]) + [f"{name} is {values[name]}" for name in bad]
    return {**values, **dict.fromkeys(bad), "reason": "; ".join(reasons)}


def run_configs() -> int:
    """List the configs that ship."""
    table = Table(box=None, show_header=False)
    for name, summary in shipped_configs().items():
        table.add_row(name, summary)
    Console().print(table)
    return 0


def resolve_configs(arguments: list[str]) -> tuple[list[str], list[Path]]:
    """Replace names of configs by their paths.

    Returns:
        The arguments, and the configs' paths in their order.

    Raises:
        UserError: naming the nearest configs, if there is neither such a file nor such a name.
    """
    resolved, paths = list(arguments), []
    for index, argument in enumerate(arguments):
        option, equals, name = argument.partition("=")
        if option not in ("--config", "-c"):
            continue
        if equals:
            paths.append(config_path(name))
            resolved[index] = f"{option}={paths[-1]}"
        elif index + 1 < len(arguments):
            paths.append(config_path(arguments[index + 1]))
            resolved[index + 1] = str(paths[-1])
    return resolved, paths


def config_path(name: str) -> Path:
    """Path of a config given by path or by name, such as ``gan/digits``."""
    for path in (Path(name), CONFIGS / f"{name}.yaml"):
        if path.is_file():
            return path
    hint = did_you_mean(name, shipped_configs(), "`lightning-irl configs` lists what ships")
    raise UserError(f"no config {name}, neither a file nor a name; {hint}")


def shipped_configs() -> dict[str, str]:
    """Names of the configs that ship, with the first comment line of each."""
    found = {}
    for path in sorted(CONFIGS.rglob("*.yaml")):
        if path.parent.name == SWEEPS:
            continue
        first = path.read_text().splitlines()[0]
        found[path.relative_to(CONFIGS).with_suffix("").as_posix()] = first.lstrip("# ").strip()
    return found


def verification_table(result: Verification) -> Table:
    """What ``verify`` shows."""
    rows = [
        ("log_z_optimum", "log_z solves E_p[1-D] = E_q[D] and equals its mixture estimate", "nats", True),
        ("gradient", "gradient of L_D is that of L_cost", "relative", True),
        ("generator_loss", "L_G = log_z + L_sampler, gradients too", "nats, relative", True),
        ("trained_gradient", "what this view's cost_loss does, from L_cost", "relative", False),
        ("trained_sampler_gradient", "what this view's sampler_loss does, from L_sampler", "relative", False),
    ]
    table = Table(title="Distance from Finn et al. (2016)", caption=result.reason or None)
    for heading in ("", "fact", "unit", "distance", "verdict"):
        table.add_column(heading, justify="right" if heading == "distance" else "left")
    for name, fact, unit, judged in rows:
        value = getattr(result, name)
        verdict = "" if value is None or not judged else "holds" if value <= TOLERANCE else "[red]FAILS"
        table.add_row(name, fact, unit, "-" if value is None else f"{value:.1e}", verdict if judged else "shown")
    return table
