"""docs/code.md names files and functions that are there, and the same rules as the test of the rooms."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "code.md").read_text()
FILES = sorted(set(re.findall(r"`([\w/]+\.py)`", TEXT)))
FUNCTIONS = sorted(set(re.findall(r"`([\w/]+\.py)` `([\w.]+)`", TEXT)))
MOST_STOPS = {"a demonstration": 8, "a draw": 6, "an estimate": 12, "a line of a config": 8}


def rooms():
    """The table of tests/test_rooms.py."""
    spec = importlib.util.spec_from_file_location("rooms_of_the_test", ROOT / "tests" / "test_rooms.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_there():
    assert len(FILES) > 20
    assert [file for file in FILES if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize(("file", "name"), FUNCTIONS, ids=[f"{file}:{name}" for file, name in FUNCTIONS])
def test_functions_are_there(file, name):
    scope = ast.parse((ROOT / file).read_text())
    for part in name.split("."):
        named = [node for node in scope.body if getattr(node, "name", None) == part]
        assert named, f"{file} has no {name}"
        scope = named[0]


@pytest.mark.parametrize("what", MOST_STOPS)
def test_walks_are_short(what):
    (walk,) = re.findall(rf"^## How {what} .*?(?=^#|\Z)", TEXT, re.M | re.S)
    stops = re.findall(r"^\d+\. ", walk, re.M)
    assert 4 <= len(stops) <= MOST_STOPS[what]


def test_the_table_says_what_the_test_of_the_rooms_holds():
    rows = {room: imports.strip() for room, imports in re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", TEXT, re.M)}
    assert rows == {room: allowed.replace("*", "every room") for room, allowed in rooms().ROOMS.items()}


def test_the_floor_is_named():
    assert [name for name in rooms().FLOOR.split() if f"`lightning_irl/{name}.py`" not in TEXT] == []
