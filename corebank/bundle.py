"""A model on disk: ``model.safetensors`` and ``bundle.json``, everything a prediction needs and nothing pickled.

The JSON holds the configuration, the energy grid, the normalization, what each output means, which data the model has
seen under which licences, how it was made and how good it is. Both files are guarded by SHA-256: a bundle in which a
byte was changed is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from corebank import __version__
from corebank.errors import BundleError
from corebank.model import PRESETS, ModelConfig, Quantifier, SpectrumMAE, hidden_width, published
from corebank.normalize import Normalization

if TYPE_CHECKING:
    from torch import Tensor

    from corebank.schema import EnergyGrid

MAX = replace(PRESETS["base"], settings=False)
"""Sizes of the published autoencoder."""

FORMAT = 1
"""Goes up when a reader of the older layout would misread the newer one."""

WEIGHTS, DOCUMENT = "model.safetensors", "bundle.json"
OUTLIER = "outlier."
"""Prefix, inside the weights file, of the arrays that tell how unlike the training spectra a spectrum is."""
COMPANION = "companion."
"""Prefix of the arrays of the linear model that answers beside the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One output of a quantifier: what it is called, its unit, and how network units become that unit.

    Network units are z = (t - mean) / std. With v the value, but no less than the floor (and no more than the ceiling),
    t is the value itself (identity), ln(v) (log), or ln(v / (100 - v)) (logit, for shares in wt%).
    """

    name: str
    unit: str
    transform: Literal["identity", "log", "logit"]
    mean: float
    """Mean of the training labels, transformed."""

    std: float
    """Standard deviation of the training labels, transformed."""

    floor: float = 0.0
    """Under ``log`` and ``logit`` smaller values count as this [unit]: "below detection" has no logarithm."""

    ceiling: float = 100.0
    """Under ``logit`` larger values count as this [unit]: 100 % has no logit."""

    half_width: float = math.nan
    """Half the width of the 90 % interval, in network units, from residuals of held-out groups; NaN: unknown."""

    half_width_unseen: float = math.nan
    """The same for spectra of a machine that the model has not seen; NaN: unknown."""

    low: float = math.nan
    """Smallest training label [unit]."""

    high: float = math.nan
    """Largest training label [unit]."""

    def forward(self, value: NDArray[Any]) -> NDArray[np.float64]:
        """Network units of values [unit]; NaN stays NaN."""
        if self.transform != "identity":
            value = np.clip(value, self.floor, self.ceiling if self.transform == "logit" else None)
        return np.asarray((self._transformed(value) - self.mean) / self.std, dtype=np.float64)

    def inverse(self, network: NDArray[Any]) -> NDArray[np.float64]:
        """Values [unit] of network units."""
        transformed = np.asarray(network, dtype=np.float64) * self.std + self.mean
        if self.transform == "logit":
            return np.asarray(50 * (1 + np.tanh(transformed / 2)))  # 100 / (1 + exp(-t)), which never overflows
        return np.exp(transformed) if self.transform == "log" else transformed

    def bounds(
        self, value: NDArray[Any], half_width: NDArray[Any] | float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ends [unit] of intervals around predicted values [unit], `half_width` [network units] to either side."""
        network = self.network(value)
        return self.inverse(network - half_width), self.inverse(network + half_width)

    def network(self, value: NDArray[Any]) -> NDArray[np.float64]:
        """Network units of predicted values [unit], for which there is no floor: what `inverse` came from."""
        return np.asarray((self._transformed(value) - self.mean) / self.std, dtype=np.float64)

    def _transformed(self, value: NDArray[Any]) -> NDArray[np.float64]:
        """t of a value that is no less than the floor and no more than the ceiling."""
        with np.errstate(divide="ignore"):  # a prediction may be so small that it is 0: minus infinity comes back as 0
            if self.transform == "logit":
                return np.asarray(np.log(value) - np.log(100 - np.asarray(value)), dtype=np.float64)
            return np.asarray(np.log(value) if self.transform == "log" else value, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataLineage:
    """Which data a model has seen in training, itself or as one of its parents, and under which terms.

    What it was validated or tested on is not in here.
    """

    snapshots: Mapping[str, str] = field(default_factory=dict)
    """Site to snapshot of its bank."""

    bank_urls: Mapping[str, str] = field(default_factory=dict)
    """Site to URL of its bank."""

    cores: tuple[str, ...] = ()
    """Cores seen, as ``site/expedition/core``."""

    sections: tuple[str, ...] = ()
    """Sections seen, as ``site/expedition/core/section``."""

    machines: tuple[str, ...] = ()
    """Machines seen, in words as `corebank.predict.machines` has them: ``Mo 30 kV``."""

    licences: Mapping[str, str] = field(default_factory=dict)
    """``site/expedition`` to licence."""

    citations: Mapping[str, str] = field(default_factory=dict)
    """``site/expedition`` to citation."""

    dois: Mapping[str, str] = field(default_factory=dict)
    """``site/expedition`` to DOI, of those that have one."""

    synthetic: tuple[str, ...] = ()
    """Expeditions seen whose spectra no scanner measured, as ``site/expedition``."""

    parent: str = ""
    """The model this one was continued or fine-tuned from, as it was named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A model and everything that must travel with it."""

    kind: Literal["foundation", "quantifier"]
    name: str
    config: ModelConfig
    normalization: Normalization
    weights: Mapping[str, Tensor]
    """State dict of `SpectrumMAE` (foundation) or `Quantifier`."""

    proxies: tuple[Proxy, ...] = ()
    """The outputs of a quantifier, in order; empty for a foundation model."""

    outlier: Mapping[str, Tensor] | None = None
    """Arrays that `corebank.uncertainty` scores outliers with."""

    companion: Mapping[str, Tensor] | None = None
    """Arrays of the `corebank.companion.Companion` that answers beside the network."""

    reach: float = 0.0
    """[mm] Values are means over spectra so far up and down in a section: how its labels were learnt and judged."""

    lineage: DataLineage = field(default_factory=DataLineage)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """The training recipe, as it reads in JSON."""

    metrics: Mapping[str, Any] = field(default_factory=dict)
    """How good it is, as the training program reported; JSON has no NaN, so it comes back as None."""

    code_version: str = __version__

    @property
    def grid(self) -> EnergyGrid:
        """The energy grid of the spectra the model reads."""
        return self.config.grid


def save(bundle: Bundle, folder: Path) -> Path:
    """Write `bundle` into `folder`, made if needed, and return the folder.

    The document is written last and names the hash of the weights: a bundle that was cut short is refused.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in bundle.weights.items()}
    for prefix, arrays in ((OUTLIER, bundle.outlier), (COMPANION, bundle.companion)):
        tensors |= {prefix + name: tensor.cpu().contiguous() for name, tensor in (arrays or {}).items()}
    (folder / DOCUMENT).unlink(missing_ok=True)
    save_file(tensors, folder / WEIGHTS)
    (folder / DOCUMENT).write_text(
        _dump(
            finite(
                {
                    "format": FORMAT,
                    "kind": bundle.kind,
                    "name": bundle.name,
                    "weights_sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
                    "config": asdict(bundle.config),
                    "grid": asdict(bundle.grid),
                    "normalization": asdict(bundle.normalization),
                    "proxies": [asdict(proxy) for proxy in bundle.proxies],
                    "reach": bundle.reach,
                    "lineage": asdict(bundle.lineage),
                    "recipe": bundle.recipe,
                    "metrics": bundle.metrics,
                    "code_version": bundle.code_version,
                }
            )
        ),
        encoding="utf-8",
    )
    return folder


def load(folder: Path) -> Bundle:
    """Read the bundle in `folder`; its weights are on the CPU.

    Raises `BundleError` when the folder holds no bundle, a newer format, or one in which a byte was changed.
    """
    from safetensors.torch import load as load_tensors

    document = read_document(folder)
    raw = (folder / WEIGHTS).read_bytes() if (folder / WEIGHTS).is_file() else b""
    if hashlib.sha256(raw).hexdigest() != document["weights_sha256"]:
        raise BundleError(folder / WEIGHTS, "not the weights that bundle.json was written for", "Pull the model again")
    tensors = load_tensors(raw)
    outlier, companion = (
        {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        for prefix in (OUTLIER, COMPANION)
    )
    lineage: dict[str, Any] = document["lineage"]
    return Bundle(
        kind=document["kind"],
        name=document["name"],
        config=ModelConfig(**document["config"]),
        normalization=Normalization(**document["normalization"]),
        weights={name: tensor for name, tensor in tensors.items() if not name.startswith((OUTLIER, COMPANION))},
        proxies=tuple(_proxy(proxy) for proxy in document["proxies"]),
        outlier=outlier or None,
        companion=companion or None,
        reach=document.get("reach", 0.0),
        lineage=DataLineage(**lineage | {name: tuple(one) for name, one in lineage.items() if isinstance(one, list)}),
        recipe=document["recipe"],
        metrics=document["metrics"],
        code_version=document["code_version"],
    )


def read_document(folder: Path) -> dict[str, Any]:
    """The checked content of ``bundle.json`` without touching the weights; raises `BundleError`."""
    path = folder / DOCUMENT
    if not path.is_file():
        raise BundleError(folder, f"no {DOCUMENT}", "Name the folder of a bundle, such as RUN_DIR/bundle")
    raw = path.read_bytes()
    try:
        document: dict[str, Any] = json.loads(raw)
        newer = document["format"] > FORMAT
        intact = raw == _dump({name: value for name, value in document.items() if name != "sha256"}).encode()
    except (ValueError, KeyError, TypeError):
        newer, intact = False, False
    if newer:
        raise BundleError(path, f"format {document['format']}, this corebank reads {FORMAT}", "Upgrade corebank")
    if not intact:
        raise BundleError(path, "changed or cut short since it was written", "Pull the model again")
    return document


def build(bundle: Bundle, device: str = "cpu") -> SpectrumMAE | Quantifier:
    """The network of `bundle` with its weights, in evaluation mode on `device`.

    Raises `BundleError` when the weights do not fit the configuration.
    """
    network = (
        Quantifier(bundle.config, len(bundle.proxies), hidden=hidden_width(bundle.weights))
        if bundle.proxies
        else SpectrumMAE(bundle.config)
    )
    try:
        network.load_state_dict(dict(bundle.weights))
    except RuntimeError as error:  # torch lists what is missing, unexpected, or of another shape
        found = f"weights do not fit the configuration: {error}"
        raise BundleError(bundle.name, found, "Give the weights of this configuration") from error
    return network.to(device).eval()


def from_max(weights: Mapping[str, Any], config: ModelConfig = MAX, *, proxy: Proxy | None = None) -> Bundle:
    """The published autoencoder MAX (arXiv 2410.12330), or its regressor of `proxy`, given its state dict.

    MAX reads raw counts and standardises each spectrum, to which the live time makes no difference. Its authors
    distribute a pickle; ``torch.load(path, weights_only=True)`` reads it. The regressor tells z-scores of its training
    labels, whose mean and standard deviation are not in the file: `proxy` says them, and what they are of.
    Raises `BundleError` for other weights, and for a regressor without `proxy` or an autoencoder with one.
    """
    name = f"max-{proxy.name.lower()}" if proxy else "max"
    ours, regressor = published.state_dict(weights, config, name)
    if regressor and proxy is None:
        found = "a regressor: its outputs are z-scores of something that the file does not say"
        raise BundleError(name, found, 'Give proxy=Proxy(name="CaCO3", unit="wt%", transform="identity", mean=, std=)')
    if proxy and not regressor:
        raise BundleError(
            name, "no regressor: there is no fc.weight", "Leave out the proxy, or give its fine-tuned file"
        )
    made = Bundle(
        kind="quantifier" if proxy else "foundation",
        name=name,
        config=config,
        normalization=Normalization(),
        weights=ours,
        proxies=(proxy,) if proxy else (),
    )
    build(made)
    return made


def _proxy(fields: dict[str, Any]) -> Proxy:
    """A proxy from its JSON, where None stands for NaN."""
    known: dict[str, Any] = {name: math.nan if value is None else value for name, value in fields.items()}
    return Proxy(**known)


def _dump(document: dict[str, Any]) -> str:
    """The one way to write `document` as JSON text, guarded by its own SHA-256."""

    def text(value: dict[str, Any]) -> str:
        return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False)

    return text(document | {"sha256": hashlib.sha256(text(document).encode()).hexdigest()}) + "\n"


def finite(value: Any) -> Any:
    """`value` with None for each number that JSON cannot hold."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
