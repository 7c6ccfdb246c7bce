"""Only the room of spaces compares the words of an event; everything else asks the space made from it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = {"kind", "support", "base_measure"}
OLD = {"is_counted", "has_bounds", "grey_levels", "require_continuous", "log_action_mass", "action_units"}


def asked(tree):
    """Where ``x["kind"]`` or ``x.get("kind")`` is read, or a function from before there were spaces is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and isinstance(node.slice, ast.Constant):
            if node.slice.value in WORDS:
                yield node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            if node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value in WORDS:
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and OLD & {name.name for name in node.names}:
            yield node.lineno


def asserted(tree):
    """Where a type is asserted, which says nothing to whom it fails."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and ast.unparse(node.test).startswith("isinstance("):
            yield node.lineno


def files(room):
    found = list((ROOT / room).rglob("*.py"))
    assert len(found) > 10
    return found


@pytest.mark.parametrize("room", ["lightning_irl", "callbacks", "datamodules", "benchmarks"])
def test_only_spaces_compares_the_words_of_an_event(room):
    paths = [path for path in files(room) if ROOT / "lightning_irl" / "spaces" not in path.parents]
    places = [f"{path.relative_to(ROOT)}:{line}" for path in paths for line in asked(ast.parse(path.read_text()))]
    assert not places, "ask space_of(event) instead"


@pytest.mark.parametrize(
    "line", ['event["kind"] == "point"', 'other.get("support")', "from lightning_irl.spaces.event import is_counted"]
)
def test_such_a_question_is_found(line):
    assert list(asked(ast.parse(line))) == [1]


@pytest.mark.parametrize("room", ["lightning_irl", "callbacks", "datamodules", "benchmarks"])
def test_no_type_is_merely_asserted(room):
    found = [(path, line) for path in files(room) for line in asserted(ast.parse(path.read_text()))]
    places = [f"{path.relative_to(ROOT)}:{line}" for path, line in found]
    assert not places, "use as_tensor, as_trajectory or as_policy_sampler, which say what was given"


def test_an_asserted_type_is_found():
    assert list(asserted(ast.parse("assert isinstance(samples, Tensor)"))) == [1]
