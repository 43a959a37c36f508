"""Recipes: frozen settings of a training program, read from TOML; the hash of one names its run.

Each recipe field is explained by the string under it. A field that the recipe does not know is refused, since a
misspelt one would silently train something else.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from corebank.errors import RecipeError, Where
from corebank.model import PRESETS, ModelConfig
from corebank.normalize import Kind
from corebank.schema import Flag
from corebank.split import Unit

T = TypeVar("T")

Mode = Literal["probe", "frozen", "adapters", "full"]

BASELINES = ("mean", "ridge", "pls", "nmf-svr", "forest")
"""The classical models of `training.baselines`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Which spectra of the catalog a run may see; empty lists take all."""

    sites: tuple[str, ...] = ()
    """Labs."""

    expeditions: tuple[str, ...] = ()
    """Expeditions."""

    exclude_cores: tuple[str, ...] = ()
    """Cores to leave out altogether."""

    exclude_sections: tuple[str, ...] = ()
    """Sections to leave out altogether, as ``core/section``."""

    skip_flags: tuple[str, ...] = ("EMPTY", "LOW_COUNTS")
    """Spectra with one of these quality flags (`corebank.schema.Flag`) are left out."""

    def __post_init__(self) -> None:
        for flag in self.skip_flags:
            _choice("data.skip_flags", flag, tuple(Flag.__members__))


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What judges the model instead of training it: whole units, never single spectra."""

    unit: Unit = "core"
    """core, or section where a single core is all there is (and the results say so)."""

    held_out: tuple[str, ...] = ()
    """Units by name, as ``core`` or ``core/section``, with ``site/expedition/`` in front where that is ambiguous."""

    share: float = 0.0
    """Share of the other units that is held out too, chosen by the hash of their names."""

    seed: int = 0
    """Another seed holds out other units."""

    def __post_init__(self) -> None:
        _choice("split.unit", self.unit, get_args(Unit))
        _between("split.share", self.share, 0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimiser:
    """AdamW with a linear warm-up and a cosine to zero, both per step."""

    rate: float = 1e-3
    """Peak learning rate."""

    warmup: float = 0.1
    """Share of all steps until the peak is reached."""

    weight_decay: float = 0.05
    """Decoupled weight decay, as in MAE (arXiv 2111.06377)."""

    betas: tuple[float, ...] = (0.9, 0.95)
    """Decay of the first and second moment, as in MAE and MAX."""

    clip: float = 1.0
    """Largest norm of the gradient."""

    def __post_init__(self) -> None:
        for name in ("rate", "clip"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"optimiser.{name}", f"is {getattr(self, name)}", "Give a positive number")
        _between("optimiser.warmup", self.warmup, 0, 1)
        if len(self.betas) != 2:
            raise RecipeError("optimiser.betas", f"is {list(self.betas)}", "Give two numbers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What every program needs to know."""

    name: str
    """What the model will be called."""

    data: Data = field(default_factory=Data)
    split: Split = field(default_factory=Split)
    optimiser: Optimiser = field(default_factory=Optimiser)

    epochs: int = 100
    """Times that each spectrum, or label, is seen."""

    batch_size: int = 64
    """Spectra, or labels, in a step."""

    seed: int = 0
    """Decides the first weights, the order, the masks and the augmentation: the same seed gives the same bits."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda where there is one."""

    parent: str = ""
    """Model to start from; set by ``--from``."""

    def __post_init__(self) -> None:
        _choice("device", self.device, ("auto", "cpu", "cuda"))
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise RecipeError(name, f"is {getattr(self, name)}", "Give at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining(Recipe):
    """A foundation model: learn to fill in hidden patches of spectra."""

    model: ModelConfig = PRESETS["base"]
    """In TOML ``preset``, and any field of `ModelConfig` that is to differ; the energy axis is always the catalog's."""

    normalization: Kind = "standardise"
    """See `corebank.normalize.Normalization`."""

    mask_ratio: float = 0.5
    """Share of each spectrum's patches hidden from the encoder."""

    replay: float = 1.0
    """Share of what the parent was trained on that is mixed in with the new cores, so that it is not forgotten."""

    checkpoint_every: int = 500
    """Steps between checkpoints; there is one after each epoch as well."""

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        _choice("normalization", self.normalization, get_args(Kind))
        _between("replay", self.replay, 0, 1)
        if not 0 < self.mask_ratio < 1:
            raise RecipeError("mask_ratio", f"is {self.mask_ratio}", "Give a share between 0 and 1")
        if self.checkpoint_every < 1:
            raise RecipeError("checkpoint_every", f"is {self.checkpoint_every}", "Give at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuning(Recipe):
    """A quantifier: a foundation model's encoder learns to tell laboratory values."""

    proxies: tuple[str, ...] = ()
    """What to quantify; set by ``--proxy``. Several share the encoder."""

    mode: Mode = "full"
    """What is trained. probe: ridge regression on what the frozen encoder makes of a spectrum, which takes seconds;
    frozen: a head with a hidden layer on the frozen encoder; adapters: low-rank changes of the encoder's matrices
    (LoRA, arXiv 2106.09685) and a linear head; full: the whole encoder and a linear head."""

    head_width: int = 64
    """Units in the hidden layer of the head under ``frozen``."""

    rank: int = 8
    """Rank of the changes under ``adapters``."""

    auxiliary: bool = True
    """Whether the network also learns the other proxies measured on these cores, whose outputs are then thrown away.
    With about a hundred labels that is what keeps the encoder from fitting their noise."""

    logarithm: tuple[str, ...] = ()
    """Proxies learnt as logarithms: positive ones that span orders of magnitude. The others are standardised."""

    logit: tuple[str, ...] = ()
    """Proxies in wt% learnt as logits, ln(share / (1 - share)): shares that come near 0 or 100 %."""

    within: float = 0.0
    """[mm] Spectra this far above and below a label's depth interval count as inside it. The quantifier is then read in
    the same way: its values are means over so many neighbours."""

    registration: bool = False
    """Whether labels are brought to the spectra that they follow best before they are learnt from, section by section
    (see `training.registration`). What judges keeps its depths."""

    companion: bool = True
    """Whether a linear model on log rates answers beside the network, see `corebank.companion`: each proxy is told by
    both in the share that cross-validation finds best."""

    balance: float = 0.0
    """How much oftener labels with rare values are learnt: from 0, each label as often as any other, to 1, each tenth
    of a proxy's range (on its transformed scale) as often as any other tenth that holds labels."""

    head_rate: float = 3e-3
    """Peak learning rate of the new head; ``optimiser.rate`` is that of the encoder or its adapters."""

    mixup: float = 1.0
    """Labels are learnt as mixtures with another one, shares from Beta(mixup, mixup); 0 leaves them alone. Count rates
    and mass fractions of a mixture of two sediments both add up (mixup: Zhang et al. 2018, arXiv 1710.09412)."""

    members: int = 2
    """Networks trained with different seeds whose weights are averaged (Wortsman et al. 2022, arXiv 2203.05482)."""

    folds: int = 10
    """Most folds of the cross-validation over whole training units; with so many units or fewer, each is left out once.
    It gives the interval its width."""

    seeds: int = 1
    """How often what depends on chance is trained and judged, each time with other seeds; the bundle is the first."""

    baselines: tuple[str, ...] = BASELINES
    """Classical models fitted to the same labels, for the same table."""

    scratch: bool = True
    """Whether the same network is also trained whole from random weights, for the same table: as costly as a fold."""

    scratch_rate: float = 0.0
    """Its peak learning rate; 0 takes ``optimiser.rate``."""

    unseen_machines: bool = True
    """Whether each machine is left out once, where there are several: that gives the width of the interval on a machine
    that the model has not seen, and costs one more training a machine."""

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        _choice("mode", self.mode, get_args(Mode))
        for name, least in (
            ("head_rate", 0.0),
            ("mixup", 0.0),
            ("within", 0.0),
            ("members", 1),
            ("folds", 2),
            ("head_width", 1),
            ("rank", 1),
            ("seeds", 1),
            ("scratch_rate", 0.0),
        ):
            if getattr(self, name) < least:
                raise RecipeError(name, f"is {getattr(self, name)}", f"Give at least {least}")
        _between("balance", self.balance, 0, 1)
        for baseline in self.baselines:
            _choice("baselines", baseline, BASELINES)
        if both := sorted({*self.logarithm} & {*self.logit}):
            raise RecipeError("logit", f"{', '.join(both)} also stands in logarithm", "Choose one of the two")


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


def digest(recipe: Recipe) -> str:
    """Eight hexadecimal digits that change with any field of the recipe."""
    return hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest()[:8]


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


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise RecipeError(name, f"is {value!r}", f"Choose among {', '.join(choices)}")


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RecipeError(name, f"is {value}", f"Give a number from {low} to {high}")


def _toml(value: Any) -> str:
    """One TOML value; JSON writes numbers, texts, booleans and lists of them the same way."""
    return json.dumps(value, ensure_ascii=False)
