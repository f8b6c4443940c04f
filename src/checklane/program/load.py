"""Reads a program's directory: files to models, and every problem to its place."""

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from checklane._layout import OFFERS_MAX
from checklane.program.fields import DECIMALS_DEFAULT, LOCALE, Part, shown
from checklane.program.model import Offer, Program
from checklane.program.problems import (
    Problem,
    Problems,
    ProgramError,
    Severity,
    did_you_mean,
    list_names,
)
from checklane.program.yaml_tree import Node, Path_, read_tree

PROGRAM_FILE = "program.yaml"
OFFERS_FOLDER = "offers"
FILES_MAX = 10_000


@dataclass(frozen=True)
class Source:
    """Where an offer stands: its file, its place in the list, and the tree of the file."""

    file: str
    index: int
    tree: Node
    folder: Path


@dataclass
class LoadedProgram:
    """A program's files as models, and what is wrong with them so far.

    Attributes
    ----------
    root : Path
        The directory.
    program : Program
    offers : list of Offer
        In the order of the files' names.
    sources : list of Source
        Of each offer; empty for a program that was not read from files.
    tree : Node or None
        Of the program file.
    problems : Problems
    """

    root: Path
    program: Program
    offers: list[Offer]
    sources: list[Source] = field(default_factory=list)
    tree: Node | None = None
    problems: Problems = field(default_factory=Problems)

    def blame(
        self,
        number: int | None,
        path: Path_,
        what: str,
        mend: str,
        *,
        at_key: bool = False,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Keep a problem of offer `number`, or of the program file, at a path of keys."""
        if number is None:
            line, column = self.tree.place(path, at_key=at_key) if self.tree else (0, 0)
            file = PROGRAM_FILE
        elif number < len(self.sources):
            source = self.sources[number]
            line, column = source.tree.place((source.index, *path), at_key=at_key)
            file = source.file
        else:
            file, line, column = f"offer {self.offers[number].id}", 0, 0
        offer = "" if number is None else self.offers[number].id
        self.problems.add(Problem(file, line, column, what, mend, severity, offer))

    def warn(self, number: int | None, path: Path_, what: str, mend: str) -> None:
        """Keep a warning."""
        self.blame(number, path, what, mend, severity=Severity.WARNING)

    def place_of(self, number: int) -> str:
        """Return where an offer begins, for messages about another one."""
        if number >= len(self.sources):
            return f"offer {number}"
        source = self.sources[number]
        return f"{source.file}:{source.tree.place((source.index,))[0]}"


def load_program(path: Path) -> LoadedProgram:
    """Read a program's directory.

    Parameters
    ----------
    path : Path
        Holds ``program.yaml`` and ``offers/*.yaml``.

    Returns
    -------
    LoadedProgram
        With every problem of form; references are judged by ``checks.check_program``. Offers with a
        problem of form are left out of it.

    Raises
    ------
    ProgramError
        The program file itself cannot be used, so that nothing else can be judged. Names the
        problems of all files.
    """
    problems = Problems()
    tree = read_tree(path / PROGRAM_FILE, PROGRAM_FILE, problems)
    context = reading_context(tree)
    program = None
    if tree is not None:
        program = read_model(Program, tree, (), PROGRAM_FILE, context, problems)
    offers: list[Offer] = []
    sources: list[Source] = []
    for file_path in offer_files(path, problems):
        file = file_path.relative_to(path).as_posix()
        offer_tree = read_tree(file_path, file, problems)
        if offer_tree is None:
            continue
        if not isinstance(offer_tree.children, list):
            what = "the file is not a list of offers"
            problems.add(Problem(file, 1, 1, what, "begin each offer with '- id: ...'"))
            continue
        for index in range(len(offer_tree.children)):
            offer = read_model(Offer, offer_tree, (index,), file, context, problems)
            if offer is not None:
                offers.append(offer)
                sources.append(Source(file, index, offer_tree, file_path.parent))
    if len(offers) > OFFERS_MAX:
        what = f"{len(offers)} offers, more than {OFFERS_MAX}"
        problems.add(Problem(OFFERS_FOLDER, 0, 0, what, "remove offers that have ended"))
    if program is None:
        raise ProgramError(problems)
    return LoadedProgram(path, program, offers, sources, tree, problems)


def load_program_file(path: Path) -> Program:
    """Read the program file alone.

    Raises
    ------
    ProgramError
        It has a problem of form.
    """
    problems = Problems()
    tree = read_tree(path / PROGRAM_FILE, PROGRAM_FILE, problems)
    program = None
    if tree is not None:
        program = read_model(Program, tree, (), PROGRAM_FILE, reading_context(tree), problems)
    if program is None:
        raise ProgramError(problems)
    return program


def offer_files(path: Path, problems: Problems) -> list[Path]:
    """Return the files of offers in the order of their names; strays are a problem."""
    folder = path / OFFERS_FOLDER
    files = sorted(folder.rglob("*.yaml")) if folder.is_dir() else []
    if not folder.is_dir():
        mend = f"make it and put lists of offers into {OFFERS_FOLDER}/*.yaml"
        problems.add(Problem(OFFERS_FOLDER, 0, 0, "the folder is missing", mend))
    for stray in sorted(folder.rglob("*.yml")):
        what = "a file of another ending, which is not read"
        name = stray.relative_to(path).as_posix()
        problems.add(Problem(name, 0, 0, what, f"name it {stray.stem}.yaml"))
    if len(files) > FILES_MAX:
        what = f"{len(files)} files, more than {FILES_MAX}"
        problems.add(Problem(OFFERS_FOLDER, 0, 0, what, "put more offers into one file"))
    return files[:FILES_MAX]


def reading_context(tree: Node | None) -> dict[str, Any]:
    """Return what values need to be read: the currency's decimals and the program's locale."""
    value = tree.value if tree is not None and isinstance(tree.value, dict) else {}
    currency = value.get("currency")
    exponent = currency.get("exponent") if isinstance(currency, dict) else None
    is_number = type(exponent) is int and 0 <= exponent <= 4
    locale = value.get("locale")
    is_locale = isinstance(locale, str) and LOCALE.fullmatch(locale) is not None
    return {
        "exponent": exponent if is_number else DECIMALS_DEFAULT,
        "locale": locale if is_locale else "en",
    }


PartT = typing.TypeVar("PartT", bound=Part)


def read_model(
    model: type[PartT],
    tree: Node,
    base: Path_,
    file: str,
    context: dict[str, Any],
    problems: Problems,
) -> PartT | None:
    """Return one part of a file as its model, or None with every problem in it."""
    value = tree.value
    for part in base:
        value = value[part]
    try:
        return model.model_validate(value, context=context)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            problems.add(as_problem(model, tree, base, file, detail))
        return None


def as_problem(
    model: type[BaseModel], tree: Node, base: Path_, file: str, detail: ErrorDetails
) -> Problem:
    """Return one error of the validation as a problem with its place."""
    location = tuple(part for part in detail["loc"] if part != "[key]")
    context = detail.get("ctx") or {}
    if detail["type"] == "program" and "at" in context:
        path = (*base, *location, context["at"])
        line, column = tree.place(path, at_key=True)
    else:
        at_key = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
        line, column = tree.place((*base, *location), at_key=at_key)
    what, mend = words(model, location, detail, context)
    return Problem(file, line, column, what, mend)


def words(
    model: type[BaseModel], location: Path_, detail: ErrorDetails, context: dict[str, Any]
) -> tuple[str, str]:
    """Return what is wrong and how to mend it."""
    kind = detail["type"]
    key = str(location[-1]) if location else ""
    value = shown(detail["input"])
    if kind == "program":
        return str(context["what"]), str(context["mend"])
    if kind == "extra_forbidden":
        known = keys_of(model_at(model, location[:-1]))
        return f"unknown key '{key}'", did_you_mean(key, known, f"the keys are {list_names(known)}")
    if kind == "missing":
        described = description_at(model, location)
        return f"'{key}' is missing", f"add it: {described}" if described else "add it"
    if kind == "literal_error":
        expected = literals(str(context["expected"]))
        mend = did_you_mean(str(detail["input"]), expected, f"write one of {list_names(expected)}")
        return f"{value} is not known for '{key}'", mend
    simple = {
        "int_type": ("is not a whole number", "write digits only"),
        "bool_type": ("is not true or false", "write true or false"),
        "string_type": ("is not a text", "write a word or a text in quotes"),
        "list_type": ("is not a list", "write - before each of its values, or [one, two]"),
        "dict_type": ("is not a mapping", "write 'key: value' lines below it"),
        "model_type": ("is not a mapping", "write 'key: value' lines below it"),
    }
    if kind in simple:
        what, mend = simple[kind]
        return f"{value} {what}", mend
    return f"{value} does not fit '{key}'", limits_of(kind, context)


def limits_of(kind: str, context: dict[str, Any]) -> str:
    """Return the remedy for a value that a constraint of its field refused."""
    remedies = {
        "greater_than_equal": "write at least {ge}",
        "greater_than": "write more than {gt}",
        "less_than_equal": "write at most {le}",
        "less_than": "write less than {lt}",
        "too_short": "write at least {min_length}",
        "too_long": "write at most {max_length}",
        "string_too_short": "write at least {min_length} characters",
        "string_too_long": "write at most {max_length} characters",
        "string_pattern_mismatch": "write it in the form {pattern}",
    }
    remedy = remedies.get(kind)
    return remedy.format(**context) if remedy else "see the schema: checklane offers schema"


def literals(expected: str) -> list[str]:
    """Return the words of a message such as ``'a', 'b' or 'c'``."""
    return [part for part in expected.split("'")[1::2] if part]


def inner_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        for part in typing.get_args(annotation):
            yield from inner_models(part)


def model_at(model: type[BaseModel], location: Path_) -> type[BaseModel]:
    """Return the model that stands at a place of another one."""
    for part in location:
        for name, info in model.model_fields.items():
            if part == (info.alias or name):
                model = next(inner_models(info.annotation), model)
                break
    return model


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model as files write them."""
    return [info.alias or name for name, info in model.model_fields.items()]


def description_at(model: type[BaseModel], location: Path_) -> str:
    """Return what a key means."""
    parent = model_at(model, location[:-1])
    for name, info in parent.model_fields.items():
        if location and location[-1] == (info.alias or name):
            return info.description or ""
    return ""
