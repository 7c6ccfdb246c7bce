"""Errors for bad input, and the parser's messages cut to their cause."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable

LONGEST_VALUE = 80  # characters; longer values are not repeated
LONGEST_MESSAGE = 8  # lines


class UserError(Exception):
    """Bad input; its text is the whole message: what was given, what is allowed, what to do."""


class Terminated(BaseException):
    """The process was told to stop; the text says what is saved. Handlers of Exception do not catch it."""


def did_you_mean(given: str, allowed: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest allowed names.

    Example:
        >>> did_you_mean("hiddn", ["hidden", "anchor"])
        'did you mean hidden?'
        >>> did_you_mean("x", ["hidden", "anchor"])
        'allowed: anchor, hidden'
    """
    allowed = sorted(set(allowed))
    nearest = difflib.get_close_matches(given, allowed, n=3, cutoff=0.5)
    if nearest:
        return f"did you mean {' or '.join(nearest)}?"
    return otherwise or f"allowed: {', '.join(allowed)}"


def shorten(message: str) -> str:
    """The first lines of a message, each cut to 300 characters."""
    lines = message.strip().splitlines()
    kept = [textwrap.shorten(line, 300, placeholder=" ...") if len(line) > 300 else line for line in lines]
    return "\n".join(kept[:LONGEST_MESSAGE] + ["..."] * (len(kept) > LONGEST_MESSAGE))


def explain(message: str, options: Iterable[str] = (), classes: Iterable[type] = ()) -> str:
    """Cut jsonargparse's message about a config to its cause.

    jsonargparse reports every alternative of every union on the way to the wrong value, each with the whole value.

    Args:
        message: from jsonargparse.
        options: known option strings, to suggest one for an unknown option.
        classes: base classes, to suggest a subclass for an unknown class.

    Example:
        >>> print(explain('''Parser key "trainer.max_epochs":
        ...   Does not validate against any of the Union subtypes
        ...   Subtypes: [<class 'int'>, <class 'NoneType'>]
        ...   Errors:
        ...     - Expected a <class 'int'>
        ...     - Expected a <class 'NoneType'>
        ...   Given value type: <class 'str'>
        ...   Given value: many'''))
        trainer.max_epochs: expected int or null; given: many
    """
    keys, owner, given, text = _innermost(message)
    where = ".".join(keys)
    if found := re.match(r"unrecognized arguments: (--?[^\s=]+)|Subcommand '\w+' does not accept option '(\S+)'", text):
        known = [option.lstrip("-") for option in options]
        name = (found[1] or found[2]).lstrip("-")
        return f"no option {name}; {did_you_mean(name, known, 'see --help')}"
    if found := re.match(r"(?:Option|Group|Key) '([^']+)' is not (?:accepted|expected)", text):
        holder, known = owner.rsplit(".", 1)[-1], _parameters(owner) if owner else []
        return f"{where}: {holder} has no option {found[1]}; {did_you_mean(found[1], known)}"
    if "dot import path string" in text or "No module named" in text or "has no attribute" in text:
        found = re.search(r"import path string: ([\w.]+)", text)
        name = found[1] if found else given or owner
        names = [kind.__name__ for base in classes for kind in _subclasses(base) if not inspect.isabstract(kind)]
        if name in names:
            (owner_of, *_) = [
                base.__name__ for base in classes if name in {kind.__name__ for kind in _subclasses(base)}
            ]
            return (
                f"{where}: {name} is a subclass of {owner_of}, which this field does not accept; "
                "see --help for what it accepts"
            )
        hint = "give the name of a shipped class, or module.Class of your own with the module in the current folder"
        reason = "" if found else f" ({_one_line(text)})"
        return f"{where}: no class {name}{reason}; {did_you_mean(name.rsplit('.', 1)[-1], names, hint)}"
    if found := re.match(r"unrecognized arguments: (.*)", text):
        return f"{found[1]} is not an option; give a config as --config NAME_OR_PATH, a field as --FIELD VALUE"
    if text.startswith("the following arguments are required") and owner:
        return (
            f"{where}: {owner.rsplit('.', 1)[-1]} needs {text.partition(': ')[2]}; give each as --{where}.FIELD VALUE"
        )
    if text.startswith("the following arguments are required"):
        return f"{text}; give a config as --config NAME: `lightning-irl configs` lists the configs that ship"
    text = re.sub(r"Expected an? <class '(?:\w+\.)*(\w+)'>", r"expected \1", text)
    text = re.sub(r"a subclass of <class '(?:\w+\.)*(\w+)'>", r"a subclass of \1", text)
    text = re.sub(r"Expected a typing\.Literal\[(.*)\]", r"expected one of \1", text)
    suffix = f"; given: {given}" if 0 < len(given) <= LONGEST_VALUE else ""
    return shorten(f"{where + ': ' if where else ''}{text}{suffix}")


def _innermost(message: str) -> tuple[list[str], str, str, str]:
    """Keys on the way, the class that owns the last key, the given value, and the innermost error's text."""
    keys: list[str] = []
    owner = given = ""
    text = message.strip()
    while True:
        if found := re.match(r'Parser key "([^"]+)":\s*', text):
            keys.append(found[1])
            text = _dedent(text[found.end() :], found[0])
        elif found := re.match(r"Problem with given class_path '([^']+)':\s*", text):
            owner = found[1]
            text = _dedent(text[found.end() :], found[0])
        elif found := re.match(r"Type \S.*? expects a function or a callable class: ", text, re.DOTALL):
            text = text[found.end() :]
            if named := re.search(r"Got value: Namespace\(.*?class_path='([\w.]+)'", text):
                owner = named[1]
        elif found := re.match(r"- Expected a path but .* either not accessible or invalid\n- ", text):
            text = text[found.end() :]
        elif text.startswith("Does not validate against any of the Union subtypes"):
            alternatives, value = _alternatives(text)
            given = value or given
            text = _likeliest(alternatives)
        else:
            break
    text, _, value = text.partition(". Got value: ")
    given = value.partition(". Got value: ")[0] or given
    if found := re.match(r"NestedArg\(key='[^']*', val='?(.*?)'?\)$", given, re.DOTALL):
        given = found[1]
    return keys, owner, "" if given.startswith(("Namespace(", "{")) else given, text


def _dedent(rest: str, head: str) -> str:
    indent = " " * (len(head) - len(head.rstrip(" ")))
    return textwrap.dedent(indent + rest)


def _alternatives(text: str) -> tuple[list[str], str]:
    """The errors of a union's alternatives, and the given value."""
    body, _, value = text.partition("\nErrors:\n")[2].partition("\nGiven value type:")
    items = re.split(r"^  - ", body, flags=re.MULTILINE)[1:]
    blocks = [item.rstrip("\n").partition("\n") for item in items]
    return [first + ("\n" + textwrap.dedent(rest) if rest else "") for first, _, rest in blocks], value.partition(
        "\nGiven value: "
    )[2].strip()


def _likeliest(alternatives: list[str]) -> str:
    """The error of the alternative that was meant, the one that got furthest; all of them if they are plain types."""
    deep = [item for item in alternatives if "Problem with given class_path" in item or "is not accepted" in item]
    if deep:
        return deep[0]
    plain = [item for item in alternatives if not re.match(r"Expected a <class '[\w.]+'>", item)]
    telling = [item for item in plain if not item.startswith("Not a valid subclass")]
    literals = [found[1] for item in telling if (found := re.match(r"Expected a typing\.Literal\[(.*?)\]", item))]
    if literals:
        return f"expected one of {', '.join(literals)}"
    if telling:
        return telling[0]
    types = [found[1] for item in alternatives if (found := re.match(r"Expected a <class '([\w.]+)'>", item))]
    names = ["null" if name == "NoneType" else name for name in types]
    return f"expected {' or '.join(names)}" if names else plain[0]


def _one_line(text: str) -> str:
    return textwrap.shorten(text, 160, placeholder=" ...")


def _subclasses(base: type) -> set[type]:
    found = {base}
    subclass: type
    for subclass in base.__subclasses__():
        found |= _subclasses(subclass)
    return found


def _parameters(class_path: str) -> list[str]:
    """Names of a class's arguments, including those that ``**options`` passes to its bases."""
    module, _, name = class_path.rpartition(".")
    names: list[str] = []
    for kind in getattr(importlib.import_module(module), name).__mro__:
        if "__init__" not in vars(kind):
            continue
        parameters = inspect.signature(kind.__init__).parameters.values()
        names += [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in names if name not in ("self", "event", "splits", "params", "optimizer")]
