"""Recipes as TOML: read into a frozen dataclass, field by field, and written so that they read back equal.

A field that the recipe does not know is refused, since a misspelt one would silently train something else.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from corebank.errors import RecipeError, Where
from corebank.model import PRESETS, ModelConfig
from training.recipe import Recipe

T = TypeVar("T")


def load(path: Path, kind: type[T], **changes: Any) -> T:
    """Read a recipe of `kind` from a TOML file, with `changes` from the command line put in.

    Raises `RecipeError` for a file that is not there or no TOML, an unknown field (with the nearest known name), a
    value of another type, or one out of range.
    """
    if not path.is_file():
        raise RecipeError(path, "no such file", "Name one of training/recipes/*.toml or write your own")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(path, f"not TOML: {error}", "Correct that line") from error
    return _parse(table | changes, kind, path, "")


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML that `load` reads back to an equal one; every field is written, defaults too."""
    plain = asdict(recipe)
    lines = [f"{name} = {_toml(value)}" for name, value in plain.items() if not isinstance(value, dict)]
    for table, values in plain.items():
        if isinstance(values, dict):
            lines += ["", f"[{table}]", *(f"{name} = {_toml(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _parse(table: Mapping[str, Any], kind: type[T], where: Where, prefix: str) -> T:
    """Make a `kind` of a TOML table."""
    table = dict(table)
    if kind is ModelConfig:
        table = asdict(_preset(table.pop("preset", "base"), where)) | table
    hints, known = get_type_hints(kind), [one.name for one in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise RecipeError(where, f"unknown field {prefix}{name}", f"Did you mean {prefix}{near}")
    try:
        return kind(**{name: _value(value, hints[name], where, prefix + name) for name, value in table.items()})
    except TypeError as error:  # a field without default is missing
        raise RecipeError(where, str(error).partition(" ")[2], "Add it") from error


def _value(value: Any, hint: Any, where: Where, name: str) -> Any:
    """Check a TOML value against a field's type."""
    if is_dataclass(hint) and isinstance(value, Mapping):
        return _parse(value, hint, where, f"{name}.")  # type: ignore[arg-type]  # a dataclass' type
    wanted = {tuple: list, Literal: str}.get(get_origin(hint), hint)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted is list and isinstance(value, list | tuple):
        member = get_args(hint)[0]
        return tuple(_value(one, member, where, f"{name}[{place}]") for place, one in enumerate(value))
    if type(value) is not wanted:  # exactly: True is an int to Python, not to a reader
        raise RecipeError(where, f"{name} is {value!r}", f"Give {_WANTED.get(wanted, 'a table')}")
    return value


_WANTED = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false", list: "a list"}


def _preset(name: str, where: Where) -> ModelConfig:
    if name not in PRESETS:
        raise RecipeError(where, f"model.preset is {name!r}", f"Choose among {', '.join(PRESETS)}")
    return PRESETS[name]


def _toml(value: Any) -> str:
    """One TOML value; JSON writes numbers, texts, booleans and lists of them the same way."""
    return json.dumps(value, ensure_ascii=False)
