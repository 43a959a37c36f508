"""The model card: what a model is for, what it has seen and under which licences, how good it is, where it ends.

    python -m registry.card MODEL

Everything on it is read from the bundle, so that a card cannot say what the model does not know about itself.
After Mitchell et al. (2019), Model cards for model reporting, doi:10.1145/3287560.3287596.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import cyclopts

from corebank.cli import run

if TYPE_CHECKING:
    from corebank.bundle import Bundle, Proxy


def card(model: Bundle, uri: str, gate: str = "") -> str:
    """Markdown card of the model that `uri` stands for; `gate` is what the gate said, as Markdown."""
    parts = [
        f"# {uri.removeprefix('models:/')}",
        *_intended(model, uri),
        *_data(model),
        *_metrics(model),
        *(_intervals(model) if model.proxies else ()),
        *(("## Gate", gate) if gate else ()),
        *_limits(model),
        *_origin(model),
    ]
    return "\n\n".join(parts) + "\n"


def _intended(model: Bundle, uri: str) -> Iterator[str]:
    grid = f"{model.grid.bins} bins of {1000 * model.grid.step:g} eV from {model.grid.start:g} keV"
    yield "## Intended use"
    if model.kind == "foundation":
        yield (
            f"A foundation model of XRF core-scanner spectra ({grid}), to be fine-tuned on laboratory values. "
            "It gives no concentrations by itself."
        )
        yield f"    python -m training.finetune RECIPE.toml --catalog CATALOG --from {uri} --proxy CaCO3"
        return
    proxies = ", ".join(f"{proxy.name} [{proxy.unit}]" for proxy in model.proxies)
    yield (
        f"Estimates {proxies} of sediment cores from XRF core-scanner spectra ({grid}), with an interval for each "
        "value and a warning where a spectrum is unlike those it was trained on. It does not replace laboratory "
        "measurements of a new core: check it against a few of them."
    )
    yield f"    corebank predict {uri} FOLDER --out values.csv --plot profile.png"


def _data(model: Bundle) -> Iterator[str]:
    lineage = model.lineage
    yield "## Data it has seen"
    if not lineage.cores:
        yield "None is recorded."
        return
    cores: dict[str, list[str]] = {}
    for core in lineage.cores:
        site, cruise, name = core.split("/", 2)  # a core may be called CD166/19
        expedition = f"{site}/{cruise}"
        cores.setdefault(expedition, []).append(name)
    yield _table(
        ("expedition", "cores", "licence", "snapshot of the bank", "to be cited"),
        [
            (
                expedition,
                f"{len(names)}: {', '.join(names[:8])}{', ...' * (len(names) > 8)}",
                lineage.licences.get(expedition) or "**unknown**",
                f"`{lineage.snapshots.get(expedition.split('/')[0], '')}`",
                lineage.citations.get(expedition, ""),
            )
            for expedition, names in cores.items()
        ],
    )
    if lineage.parent:
        yield f"This includes what its parent, {lineage.parent}, has seen."


def _metrics(model: Bundle) -> Iterator[str]:
    yield "## How good it is"
    held_out, validation = model.metrics.get("held_out", {}), model.metrics.get("validation", {})
    if held_out:
        yield "On laboratory values that were held out from training, over all of them and by core or section:"
        yield _table(
            ("proxy", "held out", "labels", "R2", "RMSE", "MAE", "bias"),
            [
                (proxy, where, *(_number(one[name]) for name in ("n", "r2", "rmse", "mae", "bias")))
                for proxy, record in held_out.items()
                for where, one in {"all": record, **record["by_core"]}.items()
            ],
        )
    if validation:
        yield "Mean squared error of hidden patches, in normalised units, on cores that were held out from training:"
        yield _table(
            ("expedition", "loss", "held out"),
            [(expedition, _number(one["loss"]), ", ".join(one["cores"])) for expedition, one in validation.items()],
        )
    if not held_out and not validation:
        yield "Nothing held out was measured. Do not rely on it."


def _intervals(model: Bundle) -> Iterator[str]:
    yield "## Intervals"
    yield "90 % intervals by split conformal prediction on held-out cores (see `corebank.uncertainty`):"
    yield _table(
        ("proxy", "interval", "training labels"),
        [
            (proxy.name, _interval(proxy), f"{_number(proxy.low)} to {_number(proxy.high)} {proxy.unit}")
            for proxy in model.proxies
        ],
    )


def _limits(model: Bundle) -> Iterator[str]:
    yield "## Limits"
    limits = [
        "Light elements (C, N, O) are invisible to XRF: what rests on them is inferred from the rest of the spectrum.",
    ]
    if model.lineage.machines:
        limits.append(f"It knows these machines, any other is flagged: {', '.join(model.lineage.machines)}.")
    if model.proxies:
        limits.append(
            "Intervals hold on average over cores like the held-out ones; with fewer than nine of those they "
            "describe these cores and guarantee nothing about a new one."
        )
        if model.outlier is None:
            limits.append("**It cannot tell foreign spectra from known ones**: no outlier statistics were recorded.")
    yield "\n".join(f"- {limit}" for limit in limits)


def _origin(model: Bundle) -> Iterator[str]:
    from corebank.hub.tags import flat

    yield "## Origin"
    weights = sum(math.prod(weight.shape) for weight in model.weights.values())
    yield (
        f"{model.kind.capitalize()} model, {weights:,} weights, corebank {model.code_version}, normalization "
        f"{model.normalization.kind}, parent {model.lineage.parent or 'none'}."
    )
    if model.recipe:
        yield _table(("recipe", ""), [(name, f"`{value}`") for name, value in sorted(flat(model.recipe))])


def _interval(proxy: Proxy) -> str:
    if math.isnan(proxy.half_width):
        return "**unknown**"
    if proxy.transform == "identity":
        return f"± {proxy.half_width * proxy.std:.3g} {proxy.unit}"
    return f"divided and multiplied by {math.exp(proxy.half_width * proxy.std):.3g}"


def _number(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.4g}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


app = cyclopts.App(name="python -m registry.card", help=__doc__, result_action="return_value")


@app.default
def show(model: str, /) -> None:
    """Print the card of a model.

    Parameters
    ----------
    model
        Folder of a run or bundle, or models:/name@alias or models:/name/3.
    """
    from corebank import bundle, hub

    print(card(bundle.load(hub.resolve(model)), model))


if __name__ == "__main__":
    run(app)
