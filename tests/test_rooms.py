"""Who may import whom: the rules of the rooms, held by reading every import of the framework."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("datamodules", "callbacks")  # at the root, and imported as lightning_irl.datamodules and so on
MOST_MODULES = 10  # at the package's root, beside those that Python and the console script need
MOST_LINES_METHODS_ARGUMENTS = (300, 25, 14)  # of a class, in a class, of a constructor beside self

# Modules that know nothing of samples, costs or samplers. Every room may import every one of them.
FLOOR = "errors limits objectives precision processes signals files networks"

# Every room, and what it may import beside itself and the floor. The order is that of the house, from the ground up:
# a room imports only from rooms above it in this table.
ROOMS = {
    "spaces": "",
    "optim": "",
    "environments": "spaces",
    "policies": "spaces",
    "samplers": "spaces environments policies",
    "costs": "spaces environments samplers",
    "metrics": "spaces",
    "dynamic_programming": "spaces environments",
    "regularisers": "spaces costs",
    "mcmc": "spaces samplers costs",
    "learners": "spaces environments policies samplers costs dynamic_programming",
    "partition": "spaces samplers costs mcmc",
    "pair": "spaces samplers costs",
    "views": "spaces environments policies samplers costs optim regularisers mcmc learners partition pair",
    "verification": "spaces learners pair views",
    "datamodules": "spaces environments",
    "callbacks": "spaces environments policies samplers costs metrics mcmc learners partition pair views verification",
    "command": "*",  # the only one that knows every room
}

# Packages that only some rooms use. A room that is not named here must work without them.
PACKAGES = {
    "pytorch_lightning": "views datamodules callbacks command",
    "lightning_fabric": "views command",
    "jsonargparse": "command",
    "omegaconf": "command",
    "torchmetrics": "metrics views",
    "matplotlib": "environments callbacks",
    "wandb": "callbacks",
    "gymnasium": "environments",
    "sklearn": "datamodules",
    "torchvision": "datamodules callbacks",
    "PIL": "datamodules callbacks",
    "zuko": "samplers",
    "scipy": "dynamic_programming partition",
    "mpmath": "verification",
    "rich": "callbacks command",
}

# What `import lightning_irl.ROOM` must not load: what only a figure, a data set or a report needs.
# Lightning and torchmetrics load matplotlib and scipy themselves, so rooms that use them are held to less.
UNUSED = ("wandb", "sklearn", "gymnasium", "mujoco", "h5py", "pyarrow")
UNUSED_WITHOUT_LIGHTNING = (*UNUSED, "matplotlib", "scipy", "PIL", "rich", "pytorch_lightning", "torchmetrics")
WITHOUT_LIGHTNING = ("spaces", "optim", "environments", "policies", "samplers", "costs", "regularisers", "mcmc")
WITH_LIGHTNING = ("metrics", "views", "datamodules", "callbacks", "command.verbs")
WITHOUT_LIGHTNING += ("learners", "partition", "dynamic_programming")


@cache
def modules():
    """Every module of the framework, by its dotted name, with its syntax tree."""
    paths = [path for path in (ROOT / "lightning_irl").rglob("*.py") if path.relative_to(ROOT).parts[1] not in FOLDERS]
    paths += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = {}
    for path in paths:
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts if parts[0] == "lightning_irl" else ("lightning_irl", *parts)
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


def imports(node):
    """Every import within a syntax tree, those within functions too; what is there for type checking alone is not."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        for child in node.orelse:
            yield from imports(child)
        return
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports name the whole path"
        yield from (f"{node.module}.{name.name}" for name in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imports(child)


@cache
def edges():
    """Pairs of modules of the framework, of which the first imports the second."""
    found = set()
    for importer, tree in modules().items():
        for name in imports(tree):
            known = name if name in modules() else name.rpartition(".")[0]
            if known in modules():
                found.add((importer, known))
    return found


def room(module):
    """The room of a module: the first part of its path in the package."""
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_its_rule():
    rooms = {room(module) for module in modules()} - {"", "__main__", "_moved", "configs", *FLOOR.split()}
    assert rooms - set(ROOMS) == set(), "new rooms: add them to the table and to docs/code.md"


def test_rooms_import_only_what_they_may():
    wrong = []
    for importer, imported in sorted(edges()):
        here, there = room(importer), room(imported)
        if here in ROOMS and ROOMS[here] != "*" and there not in ("", here, *FLOOR.split(), *ROOMS[here].split()):
            wrong.append(f"{importer} imports {imported}")
    assert wrong == []


def test_the_floor_imports_nothing_above_it():
    wrong = [pair for pair in sorted(edges()) if room(pair[0]) in FLOOR.split() and room(pair[1]) not in FLOOR.split()]
    assert wrong == []


def test_the_table_goes_upward():
    """A room may import only rooms that come before it, so no rule allows a circle."""
    order = list(ROOMS)
    for index, allowed in enumerate(ROOMS.values()):
        assert set(allowed.split()) - {"*"} <= set(order[:index])


def test_no_circle_of_modules():
    graph = {}
    for importer, imported in edges():
        graph.setdefault(importer, set()).add(imported)
    done, path = set(), []

    def visit(module):
        assert module not in path, f"a circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in done:
            path.append(module)
            for other in sorted(graph.get(module, ())):
                visit(other)
            path.pop()
            done.add(module)

    for module in sorted(graph):
        visit(module)


@pytest.mark.long
@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_imported_only_where_they_are_used(package):
    allowed = PACKAGES[package].split()
    wrong = [
        module
        for module, tree in modules().items()
        if room(module) not in allowed and any(name.split(".")[0] == package for name in imports(tree))
    ]
    assert wrong == []


def test_few_modules_at_the_root():
    names = {path.stem for path in (ROOT / "lightning_irl").glob("*.py")} - {"__init__", "__main__", "_moved"}
    assert len(names) <= MOST_MODULES, sorted(names)


@pytest.mark.long
@pytest.mark.parametrize(
    ("rooms", "unused"),
    [
        pytest.param(WITHOUT_LIGHTNING, UNUSED_WITHOUT_LIGHTNING, id="without Lightning"),
        pytest.param(WITH_LIGHTNING, UNUSED, id="with Lightning", marks=pytest.mark.long),
    ],
)
def test_importing_loads_nothing_that_is_not_used(rooms, unused):
    """In one process: what none of them loads, each alone does not load either."""
    names = "; ".join(f"import lightning_irl.{name}" for name in rooms)
    loaded = subprocess.run(
        [sys.executable, "-c", f"{names}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert sorted(set(unused) & set(loaded)) == []


def test_classes_and_lists_of_arguments_stay_small():
    """A constructor takes the options of its base as ``**options``, documented there."""
    wrong = []
    for module, tree in modules().items():
        for kind in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            methods = [node for node in kind.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
            lists = [node.args for node in methods if node.name == "__init__"]
            arguments = [len(each.posonlyargs + each.args + each.kwonlyargs) - 1 for each in lists]  # but for self
            sizes = (kind.end_lineno - kind.lineno + 1, len(methods), *arguments)
            if any(size > most for size, most in zip(sizes, MOST_LINES_METHODS_ARGUMENTS, strict=False)):
                wrong.append(f"{module}.{kind.name} has {sizes} lines, methods, arguments")
    assert wrong == []
