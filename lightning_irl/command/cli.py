"""The command line: Lightning's verbs for our views and data, and the verbs that do not train."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lightning_irl.command.config_files import BASE
from lightning_irl.command.named_configs import bases, resolve_configs, shipped_configs
from lightning_irl.command.workspace import run_workspace
from lightning_irl.errors import Terminated, UserError, did_you_mean, shorten
from lightning_irl.signals import EXIT_CODE

TRAINING_VERBS = ("fit", "validate", "test", "predict")
USAGE = """usage: lightning-irl VERB [--config NAME_OR_PATH ...] [--FIELD VALUE ...]

  fit | validate | test | predict   run a config; --help after the verb lists its fields
  verify     check the paper's equations on a config's own cost, sampler and data
             [--ckpt_path P] [--json]; exit code 0: they hold, 1: one does not, 2: no density, nothing to check
  configs    list the configs that ship
  workspace  make a W&B workspace with panels for all logged keys: --entity E [--project P] [--name N]; online

  lightning-irl fit --config gan/eight_gaussians --trainer.max_epochs 2
  lightning-irl fit --config gan/eight_gaussians --ckpt_path last    resumes the newest run of this config
                                                 --ckpt_path last_or_new    the same, or starts the first
  lightning-irl test --config runs/RUN/config.yaml --ckpt_path runs/RUN/checkpoints/NAME.ckpt

A run keeps all its files in runs/VIEW/CONFIG/TIME_STAMP. Exit code 2 (verify: 3) means bad input, 1 a loss or gradient
that is not finite. LIGHTNING_IRL_TRACEBACK=1 also shows the traceback of bad input and of reports that were skipped.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a verb; ``sys.argv[1:]`` is set to the full arguments, since some strategies start processes from it.

    Returns:
        The exit code: 0 for success, 1 for a failure, 2 for bad input; ``verify`` has its own.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        # as with python -m: a user's own module is found in the current folder
        sys.path.insert(0, str(Path.cwd()))
    try:
        if verb in (*TRAINING_VERBS, "verify"):
            rest, paths = resolve_configs(rest)
            from lightning_irl.command import verbs  # imports torch and Lightning: bad names are refused before

            return verbs.run_verify(rest, paths) if verb == "verify" else verbs.run_training(verb, rest, paths)
        if verb == "configs":
            if rest:
                raise UserError(f"configs takes no options, but {rest[0]} was given; it lists the configs that ship")
            return run_configs()
        if verb == "workspace":
            return run_workspace(rest)
        raise UserError(f"no verb {verb}; {did_you_mean(verb, [*TRAINING_VERBS, 'verify', 'configs', 'workspace'])}")
    except Exception as error:
        code = exit_code(error, verb)
        if code is None or os.environ.get("LIGHTNING_IRL_TRACEBACK"):
            raise
        print(f"lightning-irl: {shorten(str(error))}", file=sys.stderr)
        return code
    except Terminated as stop:
        print(f"lightning-irl: {stop}", file=sys.stderr)
        return EXIT_CODE
    except SystemExit as stop:  # --help, --print_config
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def exit_code(error: Exception, verb: str) -> int | None:
    """Exit code of an error whose message is all that a user needs; None for any other error."""
    bad_input = 3 if verb == "verify" else 2
    # EarlyStopping finds out that its monitor is wrong only once something is logged
    if isinstance(error, UserError) or str(error).startswith("Early stopping conditioned on metric"):
        return bad_input
    expected = (
        sys.modules["lightning_irl.command.verbs"].EXPECTED if "lightning_irl.command.verbs" in sys.modules else {}
    )
    found = next((code for kind, code in expected.items() if isinstance(error, kind)), None)
    return bad_input if found == 2 else found


def run_configs() -> int:
    """List the configs that ship, with the base of each that has one."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False)
    starts = bases()
    for name, summary in shipped_configs().items():
        table.add_row(name, summary, f"[dim]{BASE}: {starts[name]}[/]" if name in starts else "")
    Console().print(table)
    return 0
