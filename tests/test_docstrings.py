"""What is public says what it takes.

Public is what stands on a page of the reference (`docs/api`): of each module there the names in its `__all__`, or
where it has none, all that it defines; of a class its public methods, inherited ones too, and its constructor unless
the class is of fields (a dataclass). The rule: each function or method has a docstring, and one of two parameters or
more names every one of them, in its section of parameters or between backticks. (A single parameter may be described
in words.)
"""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[1] / "docs" / "api"
MODULES = sorted(
    name for page in PAGES.glob("*.md") for name in re.findall(r"^::: (geo3d[\w.]*)", page.read_text(), re.M)
)


def public(module) -> Iterator[tuple[str, object]]:
    """(name, object) of what the page of a module shows."""
    own = [n for n, o in vars(module).items() if getattr(o, "__module__", None) == module.__name__]
    for name in getattr(module, "__all__", own):
        if not name.startswith("_"):
            yield name, getattr(module, name)


def functions(module) -> Iterator[tuple[str, Callable]]:
    """(name, function) of all public functions and methods of a module."""
    for name, found in public(module):
        if inspect.isfunction(found):
            yield name, found
        elif inspect.isclass(found):
            fields = hasattr(found, "__dataclass_fields__") or getattr(found, "_is_protocol", False)
            if "__init__" in vars(found) and not fields:
                yield name, found
            for method in dir(found):
                bound = getattr(found, method)
                ours = getattr(bound, "__module__", None) or ""
                if inspect.isroutine(bound) and not method.startswith("_") and ours.startswith("geo3d."):
                    yield f"{name}.{method}", bound


def named(docstring: str) -> set[str]:
    """Words between backticks and those that head a line of the section of parameters."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", docstring, re.M | re.S)
    heads = re.findall(r"^(\S[^:\n]*)", section[1], re.M) if section else []
    return set(re.findall(r"\w+", " ".join(heads + re.findall(r"`[^`]*`", docstring))))


def complaint(function: Callable) -> str | None:
    """What is wrong with a docstring, or None."""
    docstring = inspect.getdoc(function)
    if not docstring:
        return "no docstring"
    parameters = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    missing = [name for name in parameters if name not in named(docstring)]
    return f"does not name {', '.join(missing)}" if missing and len(parameters) > 1 else None


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_names_its_parameters(name):
    found = list(functions(importlib.import_module(name)))
    complaints = [f"{name}.{what}: {text}" for what, function in found if (text := complaint(function))]
    assert not complaints, "\n" + "\n".join(complaints)


def test_the_rule_is_applied_to_all_that_is_public():
    assert len(MODULES) >= 13
    names = {name for module in MODULES for name, _ in functions(importlib.import_module(module))}
    assert {
        "estimate_essential",
        "Points.from_tracks",
        "DenseProblem",
        "DenseProblem.solve",
        "fetch",
    } <= names
    assert len(names) > 200


def test_what_the_rule_refuses():
    def bare(first):
        return first

    def words(first):
        """Takes the first thing."""

    def sections(first, second, third):
        """Says.

        Parameters
        ----------
        first, second : int
            The third is spoken of here.

        Returns
        -------
        third : int
        """

    assert complaint(bare) == "no docstring"
    assert complaint(words) is None
    assert complaint(sections) == "does not name third"
