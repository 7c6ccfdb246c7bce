"""The command line: Lightning's own verbs over our views and data, and the verbs that are not training."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningDataModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger
from rich.console import Console
from rich.table import Table

# Imported so that configs can name the classes without their modules.
from lightning_irl.verification import TOLERANCE, Verification, verify
from lightning_irl.views import View

CONFIGS = Path(__file__).parent / "configs"
TRAINING_VERBS = ("fit", "validate", "test", "predict")
USAGE = """usage: lightning-irl VERB [--config NAME_OR_PATH ...] [--FIELD VALUE ...]

  fit | validate | test | predict   run a config; --help after the verb lists its fields
  verify     check the paper's equations on a config's own cost, sampler and data
  configs    list the configs that ship

  lightning-irl fit --config gan/eight_gaussians --trainer.max_epochs 2
"""


class UserError(Exception):
    """Bad input; its text is the whole message."""


class RunConfig(SaveConfigCallback):
    """Writes the resolved config beside the checkpoints and into the logger's hyper-parameters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "overwrite": True, "save_to_log_dir": False})

    def save_config(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Write ``config.yaml`` into the run's folder when a fit starts."""
        if stage != "fit":
            return
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, str(folder / "config.yaml"), skip_none=False, overwrite=True, multifile=False)


class CLI(LightningCLI):
    """LightningCLI with our links, defaults and run folder."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            View,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=RunConfig,
            auto_configure_optimizers=False,
            parser_kwargs={"parser_mode": "omegaconf+"},
            seed_everything_default=0,
            **kwargs,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Carry the event from the data to the view, and add ``--init_from``."""
        parser.link_arguments("data.event", "model.init_args.event", apply_on="instantiate")
        parser.add_argument(
            "--init_from", type=str | None, default=None, help="checkpoint of any view whose pair to continue"
        )
        parser.set_defaults({"trainer.log_every_n_steps": 10, "trainer.enable_model_summary": False})

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that keeps everything of a run in one folder."""
        config = self._get(self.config_init, "trainer")
        root = Path(config.get("default_root_dir") or "runs")
        if config.get("logger") is None or config.get("logger") is True:
            kwargs["logger"] = CSVLogger(root, name="", version="")
        kwargs["default_root_dir"] = str(root)
        trainer = super().instantiate_trainer(**kwargs)
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(root / "checkpoints")
        return trainer

    def before_fit(self) -> None:
        """Continue another view's pair, if asked to."""
        if path := self._get(self.config, "init_from"):
            self.model.init_from(path)


def resolve_configs(arguments: list[str]) -> list[str]:
    """Replace names of shipped configs by their paths.

    Raises:
        UserError: naming the nearest configs, if there is neither such a file nor such a name.
    """
    resolved = list(arguments)
    for index, argument in enumerate(resolved):
        if argument == "--config" and index + 1 < len(resolved):
            resolved[index + 1] = str(config_path(resolved[index + 1]))
        elif argument.startswith("--config="):
            resolved[index] = f"--config={config_path(argument.removeprefix('--config='))}"
    return resolved


def config_path(name: str) -> Path:
    """Path of a config given by path or by name, such as ``gan/digits``."""
    for path in (Path(name), CONFIGS / f"{name}.yaml"):
        if path.is_file():
            return path
    nearest = difflib.get_close_matches(name, shipped_configs(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "`lightning-irl configs` lists what ships"
    raise UserError(f"no config {name}, neither a file nor a name; {hint}")


def shipped_configs() -> dict[str, str]:
    """Names of the configs that ship, with the first comment line of each."""
    found = {}
    for path in sorted(CONFIGS.rglob("*.yaml")):
        first = path.read_text().splitlines()[0]
        found[str(path.relative_to(CONFIGS).with_suffix(""))] = first.lstrip("# ").strip()
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run a verb.

    Returns:
        The exit code: 0 for success, 1 for a failure, 2 for bad usage; ``verify`` has its own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    try:
        if verb in TRAINING_VERBS:
            return run_training(verb, rest)
        if verb == "verify":
            return run_verify(rest)
        if verb == "configs":
            return run_configs()
        nearest = difflib.get_close_matches(verb, [*TRAINING_VERBS, "verify", "configs"], n=1)
        raise UserError(f"no verb {verb}" + (f"; did you mean {nearest[0]}?" if nearest else ""))
    except UserError as error:
        print(f"lightning-irl: {error}", file=sys.stderr)
        return 2


def run_training(verb: str, arguments: list[str]) -> int:
    """fit, validate, test or predict."""
    names = [arguments[i + 1] for i, a in enumerate(arguments[:-1]) if a == "--config"]
    arguments = resolve_configs(arguments)
    if not any(argument.startswith("--trainer.default_root_dir") for argument in arguments):
        name = Path(names[0]).with_suffix("") if names else Path("run")
        stamp = time.strftime("%Y%m%d-%H%M%S")
        arguments.append(f"--trainer.default_root_dir={Path('runs') / name.parent.name / name.name / stamp}")
    # In place, because strategies that start processes repeat the command from sys.argv.
    sys.argv[1:] = [verb, *arguments]
    CLI()
    return 0


def run_verify(arguments: list[str]) -> int:
    """Check the three facts on a config's own parts."""
    parser = argparse.ArgumentParser("lightning-irl verify", add_help=False)
    parser.add_argument("--ckpt_path")
    parser.add_argument("--json", action="store_true")
    options, rest = parser.parse_known_args(arguments)
    cli = CLI(run=False, args=resolve_configs(rest))
    if options.ckpt_path:
        cli.model.init_from(options.ckpt_path)
    batch = next(iter(cli.datamodule.train_dataloader()))
    result = verify(cli.model, batch.samples)
    print(json.dumps(result.as_dict()) if options.json else "", end="\n" if options.json else "")
    if not options.json:
        Console().print(verification_table(result))
    return result.exit_code


def verification_table(result: Verification) -> Table:
    """What ``verify`` shows."""
    rows = [
        ("log_z_optimum", "log_z solves E_p[1-D] = E_q[D] and equals its mixture estimate", "nats", True),
        ("gradient", "gradient of L_D is that of L_cost", "relative", True),
        ("generator_loss", "L_G = log_z + L_sampler, gradients too", "nats, relative", True),
        ("trained_gradient", "what this view's cost_loss does, from the paper's", "relative", False),
        ("trained_sampler_gradient", "what this view's sampler_loss does, from the paper's", "relative", False),
    ]
    table = Table(title="Distance from Finn et al. (2016)", caption=result.reason or None)
    for heading in ("", "fact", "unit", "distance", "verdict"):
        table.add_column(heading, justify="right" if heading == "distance" else "left")
    for name, fact, unit, judged in rows:
        value = getattr(result, name)
        verdict = "" if value is None or not judged else "holds" if value <= TOLERANCE else "[red]FAILS"
        table.add_row(name, fact, unit, "-" if value is None else f"{value:.1e}", verdict if judged else "shown")
    return table


def run_configs() -> int:
    """List the configs that ship."""
    table = Table(box=None, show_header=False)
    for name, summary in shipped_configs().items():
        table.add_row(name, summary)
    Console().print(table)
    return 0
