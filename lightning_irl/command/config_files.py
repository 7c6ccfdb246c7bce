"""Checks of a config file before the parser reads it, and the base that it starts from.

They find what YAML accepts in silence, such as a field given twice, and name the line of every error.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml

from lightning_irl.errors import UserError

BASE = "base"  # the field of a config's file that names the config it starts from


class Base(NamedTuple):
    """The config that a config file starts from.

    Attributes:
        name: a name or a path, as written in the file.
        line: its line in the file, from 1.
    """

    name: str
    line: int


def check_config(path: Path) -> Base | None:
    """Check a config file.

    Returns:
        The config that it starts from, if it names one.

    Raises:
        UserError: if it is not text, not YAML or not a mapping of fields, if it gives a field twice (YAML would take
            the last), or if its base is not a single name.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise UserError(
            f"config {path} is not UTF-8 text; give a YAML file, such as the config.yaml of a run"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark, error.problem or ""
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        start = error.context_mark
        problem += (
            f", in what begins on line {start.line + 1}"
            if start is not None and start.line != getattr(mark, "line", None)
            else ""
        )
        tab = ": a tab; YAML is indented with spaces" if "'\\t'" in problem else f": {problem}"
        raise UserError(f"config {path}{where}{tab}") from None
    except yaml.YAMLError as error:
        raise UserError(f"config {path} is not YAML: {error}") from None
    if not isinstance(root, yaml.MappingNode):
        what = "is empty" if root is None else "is not a mapping"
        raise UserError(f"config {path} {what}; its fields are model, data, trainer and so on, each with a colon")
    _check_twice(root, path)
    for key, value in root.value:
        if key.value == BASE:
            line = key.start_mark.line + 1
            if not isinstance(value, yaml.ScalarNode) or not value.value or value.end_mark.line + 1 != line:
                raise UserError(f"config {path}, line {line}: {BASE} takes one name or path, such as irl/pendulum")
            return Base(value.value, line)
    return None


def without_base(text: str) -> str:
    """A config's text for the parser: the line that names the base is blanked, so that line numbers stay."""
    if f"{BASE}:" not in text:
        return text
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    lines = text.splitlines(keepends=True)
    for key, _ in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == BASE:
            lines[key.start_mark.line] = "\n"
    return "".join(lines)


def _check_twice(node: yaml.Node, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in lines and key.value != "<<":
                raise UserError(
                    f"config {path} gives {key.value} twice, on line {lines[key.value]} and on line {line}; "
                    "remove one of them"
                )
            if isinstance(key, yaml.ScalarNode):
                lines[key.value] = line
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(item, tuple) else (item,):
                _check_twice(part, path)
