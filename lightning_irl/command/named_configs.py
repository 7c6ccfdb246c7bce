"""Configs by name: those that ship, and their paths."""

from __future__ import annotations

from pathlib import Path

from lightning_irl.command.config_files import check_config
from lightning_irl.errors import UserError, did_you_mean

CONFIGS = Path(__file__).parent.parent / "configs"
OVERLAYS = ("logger", "trainer")  # folders of configs that go on top of another one
SWEEPS = "sweeps"  # the folder of what `wandb sweep` takes, which are no configs of ours


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
            check_config(path)
            return path
    hint = did_you_mean(name, shipped_configs(), "`lightning-irl configs` lists what ships")
    if Path(name).is_dir():
        raise UserError(f"config {name} is a folder; give a file in it, such as {name}/config.yaml")
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
