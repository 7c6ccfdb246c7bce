"""Configs by name: the configs that ship, their paths and their bases."""

from __future__ import annotations

import re
from pathlib import Path

from lightning_irl.command.config_files import BASE, check_config
from lightning_irl.errors import UserError, did_you_mean

CONFIGS = Path(__file__).parent.parent / "configs"
OVERLAYS = ("logger", "trainer")  # folders of configs that go on top of another config
OPTIONS = ("--config", "-c")
SWEEPS = "sweeps"  # folder of files for `wandb sweep`, which are not configs of ours


def resolve_configs(arguments: list[str]) -> tuple[list[str], list[Path]]:
    """Replace names of configs by their paths.

    Returns:
        The arguments, and the configs' paths in their order.

    Raises:
        UserError: if there is no such file or name (the message names the nearest configs), or if a config's base
            cannot be found.
    """
    resolved, paths = list(arguments), []
    for index, argument in enumerate(arguments):
        option, equals, name = argument.partition("=")
        if option not in OPTIONS:
            continue
        if equals:
            paths.append(config_path(name))
            resolved[index] = f"{option}={paths[-1]}"
        elif index + 1 < len(arguments):
            paths.append(config_path(arguments[index + 1]))
            resolved[index + 1] = str(paths[-1])
    for path in paths:
        with_bases(path)
    return resolved, paths


def give_bases(arguments: list[str]) -> list[str]:
    """Put each config's bases before it, as configs of their own: later configs override earlier ones.

    Args:
        arguments: as of :func:`resolve_configs`; a parser's own arguments.
    """
    given: list[str] = []
    for index, argument in enumerate(arguments):
        option, equals, name = argument.partition("=")
        if option in OPTIONS and (equals or index + 1 < len(arguments)):
            path = Path(name if equals else arguments[index + 1])
            bases = with_bases(path)[:-1] if path.is_file() else []
            given += [f"{option}={base}" for base in bases]
        given.append(argument)
    return given


def with_bases(path: Path) -> list[Path]:
    """Paths of a config's bases, the outermost first, and of the config itself.

    Raises:
        UserError: if there is no such base, or bases form a circle; the message names file and line.
    """
    chain = [path]
    while (base := check_config(chain[0])) is not None:
        where = f"config {chain[0]}, line {base.line}"
        beside = chain[0].parent / base.name
        found = next((file for file in (beside, CONFIGS / f"{base.name}.yaml") if file.is_file()), None)
        if found is None:
            hint = did_you_mean(base.name, shipped_configs(), "`lightning-irl configs` lists the configs that ship")
            raise UserError(f"{where}: no {BASE} {base.name}, neither a file beside it nor a name; {hint}")
        if found.resolve() in [file.resolve() for file in chain]:
            names = " -> ".join(file.name for file in (*reversed(chain), found))
            raise UserError(f"{where}: {BASE} {base.name} starts from this config again ({names}); remove one of them")
        chain.insert(0, found)
    return chain


def bases() -> dict[str, str]:
    """The base of each config that ships and has one."""
    texts = {name: (CONFIGS / f"{name}.yaml").read_text() for name in shipped_configs()}
    found = {name: re.search(rf"^{BASE}: *(\S+)", text, re.MULTILINE) for name, text in texts.items()}
    return {name: match[1] for name, match in found.items() if match}


def config_path(name: str) -> Path:
    """Path of a config given by path or by name, such as ``gan/digits``."""
    for path in (Path(name), CONFIGS / f"{name}.yaml"):
        if path.is_file():
            check_config(path)
            return path
    hint = did_you_mean(name, shipped_configs(), "`lightning-irl configs` lists the configs that ship")
    if Path(name).is_dir():
        raise UserError(f"config {name} is a folder; give a file in it, such as {name}/config.yaml")
    raise UserError(f"no config {name}, neither a file nor a name; {hint}")


def shipped_configs() -> dict[str, str]:
    """Names of the configs that ship, each with its first comment line."""
    found = {}
    for path in sorted(CONFIGS.rglob("*.yaml")):
        if path.parent.name == SWEEPS:
            continue
        first = path.read_text().splitlines()[0]
        found[path.relative_to(CONFIGS).with_suffix("").as_posix()] = first.lstrip("# ").strip()
    return found
