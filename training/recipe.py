"""Recipes: frozen settings of a training program; the hash of one names its run.

Each recipe field is explained by the string under it. `training.parsing` reads them from TOML and writes them.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from corebank.augment import Augmentation
from corebank.errors import RecipeError
from corebank.model import PRESETS, ModelConfig
from corebank.normalize import Kind
from corebank.schema import Flag
from corebank.split import Unit

Mode = Literal["probe", "frozen", "adapters", "full"]

BASELINES = ("mean", "ridge", "pls", "nmf-svr", "forest")
"""The classical models of `training.baselines`."""

Loss = Literal["mse", "poisson"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


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
            if not 0 < getattr(self, name) < math.inf:
                raise RecipeError(f"optimiser.{name}", f"is {getattr(self, name)}", "Give a positive number")
        _between("optimiser.warmup", self.warmup, 0, 1)
        _at_least("optimiser.weight_decay", self.weight_decay, 0)
        if len(self.betas) != 2 or not all(0 <= one < 1 for one in self.betas):
            raise RecipeError("optimiser.betas", f"is {list(self.betas)}", "Give two numbers from 0 to below 1")


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
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            _at_least(name, getattr(self, name), least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The measure of progress: laboratory values of held-out units, told by ridge regression on the frozen encoder.

    It is fitted on the labels of the units that train, see `training.probe`.
    """

    proxies: tuple[str, ...] = ()
    """What is told, such as CaCO3; empty: no probe."""

    every: int = 1
    """Epochs from one look to the next; the last epoch is always looked at."""

    patience: int = 0
    """Looks without a better probe after which the training stops; 0 never stops early. The weights of the best look
    are the model, whenever the run ends."""

    stop_share: float = 0.2
    """Share of the units that are not held out which only stop the training, chosen by the hash of their names: they
    neither train nor are reported. With patience only. 0, and no `stop_units`: the held-out units stop it, which tunes
    on what is reported, and the report says so."""

    stop_units: tuple[str, ...] = ()
    """Units that only stop the training, by name, as in ``split.held_out``."""

    def __post_init__(self) -> None:
        _at_least("probe.every", self.every, 1)
        _at_least("probe.patience", self.patience, 0)
        _between("probe.stop_share", self.stop_share, 0, 1)
        if self.patience and not self.proxies:
            raise RecipeError("probe.patience", "nothing is probed", 'Give probe.proxies, such as ["CaCO3"]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining(Recipe):
    """A foundation model: learn to fill in hidden patches of spectra."""

    model: ModelConfig = PRESETS["base"]
    """In TOML ``preset``, and any field of `ModelConfig` that is to differ; the energy axis is always the catalog's."""

    normalization: Kind = "standardise"
    """See `corebank.normalize.Normalization`."""

    mask_ratio: float = 0.5
    """Share of each spectrum's patches hidden from the encoder."""

    loss: Loss = "mse"
    """What is made small on hidden patches. mse: the mean squared error of normalised values; poisson: the deviance of
    counts per bin, see `corebank.model.RateScale`."""

    augmentation: Augmentation = field(default_factory=Augmentation)
    """How spectra are varied before they are normalised; everything is off unless said."""

    balance: float = 0.0
    """From 0, each spectrum is seen as often as any other, to 1, each expedition's each machine is."""

    replay: float = 0.5
    """With a parent: share of an epoch's spectra that the parent knows already, others each epoch; `balance` shares
    them among its expeditions and machines. With a balance of 0 every new spectrum comes once. 0 replays none, and
    forgets."""

    probe: Probe = field(default_factory=Probe)

    precision: Precision = "auto"
    """Of the arithmetic; the weights are always float32. auto: float32 on a CPU, bfloat16 on a GPU that has it, and
    float16 with a scaled loss on one that has not."""

    checkpoint_every: int = 500
    """Steps between checkpoints; there is one after each epoch as well."""

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        _choice("normalization", self.normalization, get_args(Kind))
        _choice("loss", self.loss, get_args(Loss))
        _choice("precision", self.precision, get_args(Precision))
        _between("balance", self.balance, 0, 1)
        _between("replay", self.replay, 0, 1)
        if self.replay == 1:
            raise RecipeError("replay", "is 1.0: nothing new would be learnt", "Give a share below 1, such as 0.5")
        if not 0 < self.mask_ratio < 1:
            raise RecipeError("mask_ratio", f"is {self.mask_ratio}", "Give a share between 0 and 1")
        _at_least("checkpoint_every", self.checkpoint_every, 1)


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
            ("head_rate", 0),
            ("mixup", 0),
            ("within", 0),
            ("members", 1),
            ("folds", 2),
            ("head_width", 1),
            ("rank", 1),
            ("seeds", 1),
            ("scratch_rate", 0),
        ):
            _at_least(name, getattr(self, name), least)
        _between("balance", self.balance, 0, 1)
        for baseline in self.baselines:
            _choice("baselines", baseline, BASELINES)
        if both := sorted({*self.logarithm} & {*self.logit}):
            raise RecipeError("logit", f"{', '.join(both)} also stands in logarithm", "Choose one of the two")


def digest(recipe: Recipe) -> str:
    """Eight hexadecimal digits that change with any field of the recipe."""
    return hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest()[:8]


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise RecipeError(name, f"is {value!r}", f"Choose among {', '.join(choices)}")


def _at_least(name: str, value: float, least: int) -> None:
    if not least <= value < math.inf:  # NaN is in no range
        raise RecipeError(name, f"is {value}", f"Give a number, at least {least}")


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise RecipeError(name, f"is {value}", f"Give a number from {low} to {high}")
