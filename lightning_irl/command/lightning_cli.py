"""LightningCLI for our views and data: links, checks before anything runs, and one folder for each run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import Namespace
from jsonargparse._typehints import ActionTypeHint
from jsonargparse.typing import PositiveInt
from lightning_fabric.plugins import TorchCheckpointIO
from omegaconf import MISSING
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint, ProgressBar, RichProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities import rank_zero_only, rank_zero_warn

from lightning_irl.callbacks import (
    LogEquivalence,
    LogImitation,
    LogOutOfDistribution,
    LogPartition,
    LogQuality,
    LogSamples,
    Summary,
    Termination,
    WandbLogger,
)
from lightning_irl.command import checks, runs
from lightning_irl.command.checkpoint_io import WholeCheckpointIO
from lightning_irl.command.config_files import without_base
from lightning_irl.command.named_configs import give_bases
from lightning_irl.command.quiet import hush_workers
from lightning_irl.costs import Cost, StepCost
from lightning_irl.datamodules import MemoryDataModule
from lightning_irl.environments import Environment
from lightning_irl.errors import UserError, explain, shorten
from lightning_irl.learners import Learner
from lightning_irl.mcmc import Chains, Kernel
from lightning_irl.optim import DecayToZero, MuonAdam
from lightning_irl.policies import Policy
from lightning_irl.regularisers import Regulariser
from lightning_irl.samplers import Sampler
from lightning_irl.views import CostLoss, Rounds, SamplerLoss, View
from lightning_irl.views.before_training import steps_of_round
from lightning_irl.views.checks import check_pair, check_strategy
from lightning_irl.views.devices import chosen_accelerator, default_devices
from lightning_irl.views.trainer_limits import check_trainer

# Configs can name subclasses of these without their modules, since they are imported here.
NAMED = (
    View,
    CostLoss,
    SamplerLoss,
    Rounds,
    Cost,
    StepCost,
    Sampler,
    Environment,
    Policy,
    Learner,
    Chains,
    Kernel,
    Regulariser,
    LightningDataModule,
    Callback,
    torch.optim.Optimizer,
    torch.optim.lr_scheduler.LRScheduler,
    MuonAdam,
    DecayToZero,
)
# Reports of every run; each is configured under its key.
REPORTS = {
    "equivalence": LogEquivalence,
    "imitation": LogImitation,
    "partition": LogPartition,
    "quality": LogQuality,
    "samples": LogSamples,
    "ood": LogOutOfDistribution,
}


def given_on_command_line(option: str) -> bool:
    """Whether an option is on the command line, and not only in a config."""
    return any(argument.partition("=")[0] == option for argument in sys.argv)


class Parser(LightningArgumentParser):
    """Raises an error cut to its cause, instead of printing the usage and exiting.

    A field that accepts a string gets the string as given. Where the field also accepts a class (``source: str |
    Demonstrations``), jsonargparse would replace the string by the content of a text file of that name.
    """

    def add_class_arguments(self, *args: Any, **kwargs: Any) -> list[str]:
        added: list[str] = super().add_class_arguments(*args, **kwargs)
        for action in self._actions:
            if isinstance(action, ActionTypeHint) and action._is_valid_string(""):
                action._enable_path = False
        return added

    def parse_string(self, content: str, *args: Any, **kwargs: Any) -> Namespace:
        return super().parse_string(without_base(content), *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a parser within a union: its errors are collected
            super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        raise UserError(explain(message, parser._option_string_actions, NAMED)) from ex


class CLI(LightningCLI):
    """LightningCLI with our links, defaults and run folder.

    Args:
        config_name: the config's name in the run's folder.
        **kwargs: of ``LightningCLI``.
    """

    def __init__(self, config_name: str = "run", **kwargs: Any) -> None:
        self.config_name = config_name
        self.constructor_error: Exception | None = None
        super().__init__(
            View,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=runs.RunConfig,
            auto_configure_optimizers=False,
            parser_class=Parser,
            parser_kwargs={"parser_mode": "omegaconf+", "allow_abbrev": False},
            seed_everything_default=0,
            **kwargs,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link the data's event to the view, and add ``--init_from``, ``--cost_from`` and ``--threads``."""
        parser.link_arguments("data.event", "model.init_args.event", apply_on="instantiate")
        parser.add_argument(
            "--init_from", type=str | None, default=None, help="checkpoint of any view, whose pair to continue"
        )
        parser.add_argument(
            "--cost_from",
            type=str | None,
            default=None,
            help="checkpoint of any view, whose cost to take without its sampler",
        )
        parser.add_argument(
            "--threads",
            type=PositiveInt | None,
            default=None,
            help="CPU threads for torch; one is fastest for small models (default: torch's own choice)",
        )
        for key, callback in REPORTS.items():
            parser.add_lightning_class_args(callback, key)
        defaults = {"log_every_n_steps": 10, "enable_model_summary": False, "devices": default_devices()}
        parser.set_defaults({f"trainer.{key}": value for key, value in defaults.items()})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        # Skips Lightning's warning about arguments given beside sys.argv.
        try:
            self.config = parser.parse_args(give_bases(sys.argv[1:] if args is None else args))
        except OmegaConfBaseException as error:
            raise UserError(f"interpolation: {error}") from error
        seed = self.fields.get("seed_everything")
        if not isinstance(seed, bool) and seed is not None and not 0 <= seed < 2**32:
            raise UserError(f"seed_everything is {seed}; it must be between 0 and {2**32 - 1}")

    @property
    def fields(self) -> Namespace:
        """The verb's part of the config."""
        fields: Namespace = self.config[self.config.subcommand] if "subcommand" in self.config else self.config
        return fields

    @property
    def view_name(self) -> str:
        """The view's class, in lower case."""
        name: str = self.fields.model.class_path.rsplit(".", 1)[-1]
        return name.lower()

    def _parse_ckpt_path(self) -> None:
        """Find the checkpoint. Unlike Lightning, keep the config's model: the two must agree."""
        given = self.fields.get("ckpt_path")
        if given in ("last", "last_or_new"):
            folder = Path(self.fields.trainer.default_root_dir or runs.RUNS / self.view_name / self.config_name)
            found = runs.last_checkpoint(folder)
            if found is None and given == "last":
                raise UserError(f"--ckpt_path last: no checkpoint under {folder}; fit first, or give a path")
            given = self.fields.ckpt_path = None if found is None else str(found)
            sys.argv.append(f"--ckpt_path={given or 'null'}")  # other processes of ddp must not search for themselves
        if given:
            checks.load_checkpoint(given)

    def before_instantiate_classes(self) -> None:
        if self.fields.threads:
            torch.set_num_threads(self.fields.threads)

    def _add_instantiators(self) -> None:
        super()._add_instantiators()
        registered = dict(self.parser._get_parser_instantiators())
        for (kind, subclasses), build in registered.items():
            self.parser.add_instantiator(self._recording(build), kind, subclasses=subclasses)
        self.parser.add_instantiator(self._recording(lambda kind, *a, **k: kind(*a, **k)), object, subclasses=True)

    def _recording(self, build: Any) -> Any:
        """Keep the first exception that a constructor raises: within a union it would be lost."""

        def recorded(class_type: Any, *args: Any, applied_instantiation_links: Any = None, **kwargs: Any) -> Any:
            if "_InstantiatorFn" in type(build).__name__:
                kwargs["applied_instantiation_links"] = applied_instantiation_links
            try:
                return build(class_type, *args, **kwargs)
            except Exception as error:
                self.constructor_error = self.constructor_error or error
                raise

        return recorded

    def instantiate_classes(self) -> None:
        try:
            self.config_init = self.parser.instantiate(self.config)
        except Exception:
            error = self.constructor_error
            if error is None:
                raise
            if isinstance(error, ModuleNotFoundError):
                raise UserError(f"a package is missing: {shorten(str(error))}") from error
            if isinstance(error, (ValueError, OSError)):
                raise UserError(shorten(str(error))) from error
            raise error from None
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")
        if isinstance(self.datamodule, MemoryDataModule):
            hush_workers()
        self.check_model()
        self.trainer = self.instantiate_trainer()

    def check_model(self) -> None:
        """Check the pair, and the checkpoint that it loads."""
        check_pair(self.model)
        if path := self.fields.get("ckpt_path"):
            is_resumed = self.fields is not self.config and self.config.subcommand == "fit"
            checks.check_checkpoint(Path(path), self.model, is_resumed)
            for option in ("--init_from", "--cost_from"):  # a saved config names what its run started from
                if given_on_command_line(option):
                    rank_zero_warn(
                        f"{option} has no effect beside --ckpt_path, which loads the whole view; remove one of them"
                    )
            return
        pair, cost = self._start("init_from"), self._start("cost_from")
        if pair and cost:
            raise UserError("--init_from takes the pair and --cost_from the cost alone; give one of them")
        try:
            if pair:
                self.model.init_from(pair)
            elif cost:
                self.model.cost_from(cost)
        except ValueError as error:
            raise UserError(shorten(str(error))) from error

    def _start(self, key: str) -> str | None:
        """The checkpoint given as ``init_from`` or ``cost_from``, if any."""
        path: str | None = self.fields[key]
        return None if path == MISSING else path


class TrainingCLI(CLI):
    """fit, validate, test or predict."""

    def __init__(self, verb: str, config_name: str) -> None:
        self.verb = verb
        self.folder: Path | None = None
        try:
            super().__init__(config_name)
        finally:
            if self.folder is not None:
                runs.discard(self.folder)  # only if nothing is in it

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        # Only the verb that runs: building a parser for each of Lightning's four costs more than all else here.
        return {self.verb: super().subcommands()[self.verb]}

    def before_instantiate_classes(self) -> None:
        super().before_instantiate_classes()
        trainer = self.fields.trainer
        checks.check_trainer_config(trainer)
        trainer.accelerator = chosen_accelerator(trainer.accelerator)
        if self.verb == "fit" and not self.fields.ckpt_path:
            self._refuse_missing_start()
        elif self.verb == "fit" and given_on_command_line("--seed_everything"):
            rank_zero_warn(
                "--seed_everything has no effect on a resumed run: its random numbers are those of the checkpoint. "
                "For other ones start a new run from its pair, with --init_from"
            )
        self._choose_folder()
        specs = trainer.logger if isinstance(trainer.logger, list) else [trainer.logger]
        for spec in specs:
            if isinstance(spec, Namespace) and spec.get("init_args", {}).get("save_dir", "") in (None, ".", "runs"):
                spec.init_args.save_dir = trainer.default_root_dir

    def _refuse_missing_start(self) -> None:
        """Refuse a config that leaves its start to the command line (``init_from: ???``) if that gives none."""
        for key in ("init_from", "cost_from"):
            if self.fields[key] == MISSING:
                raise UserError(
                    f"this config starts from a checkpoint (its first line says which); add --{key} PATH, "
                    f"or --{key}=null to start untrained"
                )

    def _choose_folder(self) -> None:
        trainer = self.fields.trainer
        if rank_zero_only.rank:  # type: ignore[attr-defined]
            return  # the first process chooses; RunConfig tells the others
        if trainer.default_root_dir is not None:
            runs.given_folder(Path(trainer.default_root_dir))
            return
        checkpoint = self.fields.get("ckpt_path")
        self.folder = runs.new_folder(
            self.config.subcommand, self.view_name, self.config_name, Path(checkpoint) if checkpoint else None
        )
        trainer.default_root_dir = str(self.folder)
        # Strategies that start processes repeat the command from sys.argv.
        sys.argv.append(f"--trainer.default_root_dir={self.folder}")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer that keeps all files of a run in one folder."""
        config = self._get(self.config_init, "trainer")
        root = config.default_root_dir or str(runs.RUNS)
        if config.logger is not False:
            chosen = config.logger if isinstance(config.logger, list) else [config.logger]
            loggers = [logger for logger in chosen if logger not in (None, True)]
            if not any(isinstance(logger, CSVLogger) for logger in loggers):
                loggers.append(CSVLogger(root, name="", version=""))
            kwargs["logger"] = loggers
            checkpoint = self.config_init[self.subcommand].get("ckpt_path") if self.subcommand else None
            for logger in loggers:
                if checkpoint and isinstance(logger, WandbLogger):
                    logger.go_on(checkpoint)
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (TypeError, ValueError) as error:  # Lightning refused a value
            raise UserError(f"trainer: {shorten(str(error))}") from error
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeCheckpointIO()
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(Path(root) / "checkpoints")
        return trainer

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Add the progress bar, a checkpoint after every epoch and the summary, which comes after the reports."""
        given = config["callbacks"] if isinstance(config["callbacks"], list) else [config["callbacks"]]
        callbacks = list(callbacks)
        wants_checkpoints = config["enable_checkpointing"] is not False and not config["barebones"]
        if wants_checkpoints and not any(isinstance(item, Checkpoint) for item in given):
            # Lightning's default saves after validation: never without one, rarely if validation is rare, and in the
            # middle of an epoch, from which a run cannot resume exactly, if validation is frequent.
            callbacks.append(ModelCheckpoint(save_on_train_epoch_end=True))
        if config["enable_progress_bar"] is not False and not any(isinstance(item, ProgressBar) for item in given):
            callbacks.append(RichProgressBar())
        if not any(isinstance(callback, Summary) for callback in given):
            callbacks.append(Summary())
        if not any(isinstance(callback, Termination) for callback in given):
            callbacks.append(Termination())
        return super()._instantiate_trainer(config, callbacks)

    def before_fit(self) -> None:
        """Refuse combinations that cannot be trained."""
        check_strategy(self.trainer)
        checks.check_optimizers(self.model)
        steps = getattr(self.datamodule, "steps_per_epoch", None)
        warm_start = self.model.warm_start // self.model.accumulate
        # before callbacks set themselves up
        check_trainer(self.trainer, steps_of_round(self.model), steps, warm_start)

    def _warn_untrained(self) -> None:
        if not (self.fields.get("ckpt_path") or self._start("init_from")):
            print("lightning-irl: no --ckpt_path, so this view has not been trained", file=sys.stderr)

    before_validate = before_test = before_predict = _warn_untrained

    def predict(self, **kwargs: Any) -> None:
        """Score the test part and save the scores in the run's folder."""
        outputs = self.trainer.predict(**kwargs)
        if outputs:
            print(f"scores in {runs.save_predictions(outputs, self.trainer)}")


class ViewCLI(CLI):
    """A config's view and data, without a trainer and its loggers."""

    def __init__(self, arguments: list[str], config_name: str) -> None:
        super().__init__(config_name, run=False, args=arguments)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        super().add_arguments_to_parser(parser)
        parser.add_argument("--ckpt_path", type=str | None, default=None, help="checkpoint to verify")
        parser.add_argument("--json", action="store_true", help="print one JSON object on one line")

    def before_instantiate_classes(self) -> None:
        super().before_instantiate_classes()
        for field in ("logger", "callbacks", "plugins", "profiler"):
            self.config.trainer[field] = None

    def check_model(self) -> None:
        super().check_model()
        if path := self.config.ckpt_path:
            self.model.init_from(path)

    def instantiate_trainer(self, **kwargs: Any) -> None:  # type: ignore[override]
        return None
