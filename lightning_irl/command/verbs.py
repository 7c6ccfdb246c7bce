"""The verbs that need a view: Lightning's four, and ``verify``.

Importing this module takes seconds, so :mod:`lightning_irl.command.cli` does it only for these verbs.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from rich.console import Console
from rich.table import Table

from lightning_irl.command.lightning_cli import TrainingCLI, ViewCLI
from lightning_irl.command.named_configs import CONFIGS, OVERLAYS
from lightning_irl.command.quiet import quiet
from lightning_irl.command.runs import config_name
from lightning_irl.processes import leave
from lightning_irl.verification import TOLERANCE, Verification, verify
from lightning_irl.views.contracts import batches, check_data
from lightning_irl.views.finite import NonFiniteError
from lightning_irl.views.states_alone import check_states_alone

# Errors that end a verb with their message alone, and the exit codes.
EXPECTED: dict[type[Exception], int] = {NonFiniteError: 1, MisconfigurationException: 2}


def run_training(verb: str, arguments: list[str], paths: list[Path]) -> int:
    """Run fit, validate, test or predict with the configs at these paths."""
    bases = [path for path in paths if path.parent.name not in OVERLAYS or path.parent.parent != CONFIGS]
    # In place: strategies that start processes repeat the command from sys.argv.
    sys.argv[1:] = [verb, *arguments]
    with quiet():
        TrainingCLI(verb, config_name(bases[0]) if bases else "run")
    leave()
    return 0


def run_verify(arguments: list[str], paths: list[Path]) -> int:
    """Check the paper's three facts on the pair and data of the configs at these paths."""
    sys.argv[1:] = ["verify", *arguments]
    wants_json = "--json" in arguments
    with quiet(chatter=False), contextlib.redirect_stdout(sys.stderr) if wants_json else contextlib.nullcontext():
        cli = ViewCLI(arguments, config_name(paths[0]) if paths else "run")
        cli.datamodule.prepare_data()
        cli.datamodule.setup("fit")
        cli.model.states_alone = check_states_alone(cli.model, cli.datamodule)
        check_data(cli.model, cli.datamodule)
        batch = next(batches(cli.model, cli.datamodule, cli.datamodule.train_dataloader()))
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
    """The same values for JSON: null for a number that is not finite, with the reason."""
    bad = [name for name, value in values.items() if isinstance(value, float) and not math.isfinite(value)]
    reasons = [str(values["reason"])] * bool(values["reason"]) + [f"{name} is {values[name]}" for name in bad]
    return {**values, **dict.fromkeys(bad), "reason": "; ".join(reasons)}


def verification_table(result: Verification) -> Table:
    """The table that ``verify`` prints."""
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
