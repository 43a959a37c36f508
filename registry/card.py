"""The model card: what a model is for, what it has seen and under which licences, how good it is, where it ends.

    python -m registry.card MODEL [--html FILE]

Everything on it is read from the bundle, and what the registry knows of the version: a card cannot say what the model
does not know about itself. After Mitchell et al. (2019), Model cards for model reporting, doi:10.1145/3287560.3287596.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cyclopts

from corebank.cli import run
from registry.card_blocks import Block, Card, Code, Command, Points, Section, Strong, Table, Words
from registry.card_scores import Baselines, number, scores, share
from registry.standing import expedition
from registry.verdict import Verdict, cell

if TYPE_CHECKING:
    from corebank.bundle import Bundle, Proxy


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the registry knows of a version and its bundle does not."""

    uri: str
    """``models:/name/number``, or the folder of a run that is not registered."""
    alias: str = ""
    """Alias that it has."""
    against: str = ""
    """The champion that the gate compared it with."""
    outcome: str = ""
    """What the gate said: ``passed``, or ``none`` or ``overridden`` and why; empty where it was not asked."""
    verdict: Verdict | None = None
    report: str = ""
    """The gate's table as text, where `verdict` itself is not at hand."""
    baselines: Baselines = field(default_factory=dict)
    """Scores of the baselines that were judged with the model."""


def card(model: Bundle, standing: Standing) -> Card:
    """The card of a model, to be written by `registry.card_markdown` or `registry.card_html`."""
    sections = [
        Section("Intended use", [*_intended(model, standing.uri)]),
        Section("How good it is", [*scores(model, standing.baselines)]),
        *([Section("Intervals", [*_intervals(model)])] if model.proxies else []),
        *([Section("Foreign spectra", [*_foreign(model)])] if model.proxies else []),
        Section("Data it has seen", [*_data(model)]),
        Section("Limits", [Points([*_limits(model)])]),
        Section("Gate", [*_gate(standing)]),
        Section("How to cite", [*_cite(model, standing.uri)]),
        Section("Origin", [*_origin(model)]),
    ]
    what = "foundation model" if model.kind == "foundation" else "quantifier"
    proxies = f" of {', '.join(proxy.name for proxy in model.proxies)}" if model.proxies else ""
    synthetic = " It was trained on synthetic spectra." if model.lineage.synthetic else ""
    return Card(
        title=standing.uri.removeprefix("models:/"),
        summary=f"A {what}{proxies} for XRF core-scanner spectra, trained on {_many(model)}.{synthetic}",
        standing=_said(standing),
        refused=standing.outcome.startswith("overridden") or not (standing.verdict is None or standing.verdict.passed),
        sections=sections,
    )


def _said(standing: Standing) -> str:
    """Alias and gate in a sentence."""
    alias = f"It is {standing.alias}. " if standing.alias else "It has no alias. "
    if not standing.outcome:
        return f"{alias}The gate was not asked."
    against = f", compared with {standing.against}" if standing.against else ""
    if standing.outcome.startswith("overridden"):
        return f"{alias}The gate refused it{against}; somebody decided otherwise: {standing.outcome.partition(': ')[2]}"
    return f"{alias}Gate: {standing.outcome}{against}."


def _many(model: Bundle) -> str:
    cores = model.lineage.cores
    if not cores:
        return "data that are not recorded"
    count = len({expedition(core) for core in cores})
    expeditions = f"{count} expedition{'s' * (count != 1)}"
    return f"{len(cores)} core{'s' * (len(cores) != 1)} of {expeditions}"


def _intended(model: Bundle, uri: str) -> Iterator[Block]:
    grid = f"{model.grid.bins} bins of {1000 * model.grid.step:g} eV from {model.grid.start:g} keV"
    if model.kind == "foundation":
        yield Words(
            f"A foundation model of XRF core-scanner spectra ({grid}), to be fine-tuned on laboratory values. "
            "It gives no concentrations by itself."
        )
        yield Command(f"python -m training.finetune RECIPE.toml --catalog CATALOG --from {uri} --proxy CaCO3")
        return
    proxies = ", ".join(f"{proxy.name} [{proxy.unit}]" for proxy in model.proxies)
    yield Words(
        f"Estimates {proxies} of sediment cores from XRF core-scanner spectra ({grid}), with an interval for each "
        "value and a warning where a spectrum is unlike those it was trained on. It does not replace laboratory "
        "measurements of a new core: check it against a few of them."
    )
    yield Command(f"corebank predict {uri} FOLDER --out values.csv --plot profile.png")


def _intervals(model: Bundle) -> Iterator[Block]:
    yield Table(
        "90 % intervals, from what models trained without a core said of it (corebank.uncertainty). How many "
        "laboratory values they held, core by core, stands above.",
        ("proxy", "interval", "on a machine it has not seen", "laboratory values it learnt from"),
        [
            (
                proxy.name,
                _interval(proxy, proxy.half_width),
                _interval(proxy, proxy.half_width_unseen),
                f"{number(proxy.low) or 'unknown'} to {number(proxy.high) or 'unknown'} {proxy.unit}",
            )
            for proxy in model.proxies
        ],
    )


def _interval(proxy: Proxy, half_width: float) -> str:
    """Half width in the unit of the proxy, or in the words of its transform."""
    if math.isnan(half_width):
        return Strong("unknown")
    width = half_width * proxy.std
    if proxy.transform == "identity":
        return f"± {width:.3g} {proxy.unit}"
    if proxy.transform == "log":
        return f"divided and multiplied by {math.exp(min(width, 700)):.3g}"
    return f"± {width:.3g} on the {proxy.transform} scale"


def _foreign(model: Bundle) -> Iterator[Block]:
    if model.outlier is None:
        yield Words("It cannot tell foreign spectra from known ones: no outlier statistics were recorded.", strong=True)
    else:
        yield Words(
            "A spectrum unlike those of its training cores gets an outlier score above 1 and a warning; so does one of "
            "a machine it has not seen, and a value beyond the laboratory values it learnt from."
        )
    if rates := model.metrics.get("outliers"):
        yield Table(
            "Spectra of held-out cores that it flags; it is calibrated to flag at most 5 % on cores of the known kind.",
            ("core or section", "spectra", "flagged"),
            [(unit, f"{one.get('spectra') or 0:,}", share(one.get("flagged"))) for unit, one in sorted(rates.items())],
            numbers=2,
        )
    elif model.outlier is not None:
        yield Words("How many spectra of held-out cores it flags was not recorded.")


def _data(model: Bundle) -> Iterator[Block]:
    from corebank import licences
    from corebank.errors import LicenceError

    lineage = model.lineage
    if not lineage.cores:
        yield Words("None is recorded.", strong=True)
        return
    cores: dict[str, list[str]] = {}
    for core in lineage.cores:
        cores.setdefault(expedition(core), []).append(core.split("/", 2)[-1])  # a core may be called CD166/19
    yield Table(
        "What its parents have seen is included." if lineage.parent else "",
        ("expedition", "cores", "spectra", "licence", "DOI", "snapshot of the bank"),
        [
            (
                entry,
                f"{len(names)}: {', '.join(names[:8])}{', ...' * (len(names) > 8)}",
                Strong("synthetic") if entry in lineage.synthetic else "measured",
                lineage.licences.get(entry) or Strong("unknown"),
                lineage.dois.get(entry, ""),
                Code(lineage.snapshots.get(entry.split("/")[0], "")),
            )
            for entry, names in sorted(cores.items())
        ],
    )
    try:
        terms = licences.combined({entry: lineage.licences.get(entry, "") for entry in cores})
        yield Words(f"Terms of the whole: {terms}.")
    except LicenceError as error:
        yield Words(f"These data may not be used together: {error}", strong=True)


def _limits(model: Bundle) -> Iterator[str]:
    yield "Light elements (C, N, O) are invisible to XRF: what rests on them is inferred from the rest of the spectrum."
    if model.lineage.machines:
        yield f"It knows these machines, any other is flagged: {', '.join(model.lineage.machines)}."
    if model.lineage.synthetic:
        yield "Synthetic spectra are simpler than real ones: scores on synthetic cores say nothing about real ones."
    if model.proxies:
        yield (
            "Intervals hold on average over new cores like those that it learnt from; in a single core they may hold "
            "much less, and from few cores nothing is promised."
        )
        if model.reach:
            yield f"Each value is a mean over {model.reach:g} mm up and down in its section; thinner layers vanish."
        found = (model.metrics.get("registration") or {}).items()
        if moved := [f"{name} {one['shift']:+g} mm" for name, one in found if one["shift"]]:
            yield f"The labels of these sections were brought to their spectra to learn from: {', '.join(moved)}."


def _gate(standing: Standing) -> Iterator[Block]:
    yield Words(_said(standing))
    if standing.verdict is not None:
        yield Table(
            "What was looked at; how each rule is meant stands in registry.gate.",
            ("looked at", "verdict", "why", "champion", "candidate", "allowed"),
            [
                (
                    row.what,
                    Strong(row.outcome) if row.outcome == "refused" else row.outcome,
                    row.why if row.reason or row.note else "",
                    cell(row.champion),
                    cell(row.candidate),
                    ("≥ " if row.at_least and cell(row.allowed) else "") + cell(row.allowed),
                )
                for row in standing.verdict.rows
            ],
            numbers=3,
        )
    elif standing.report:
        yield Command(standing.report)


def _cite(model: Bundle, uri: str) -> Iterator[Block]:
    from corebank.catalog import citing

    name = uri.removeprefix("models:/") if uri.startswith("models:/") else model.name
    # Without the addresses of the banks, or each of them would be opened.
    cited = citing.citations(asdict(model.lineage) | {"bank_urls": {}})
    yield Words("Name the model with its number, the data it was trained on, and the software:")
    yield Points([f"{name} ({model.name}).", *map(str, cited), citing.software()])
    yield Command(f"corebank cite {uri} --bibtex")


def _origin(model: Bundle) -> Iterator[Block]:
    from corebank.hub.tags import flat

    weights = sum(math.prod(weight.shape) for weight in model.weights.values())
    yield Words(
        f"{model.kind.capitalize()} model, {weights:,} weights, corebank {model.code_version}, normalization "
        f"{model.normalization.kind}, parent {model.lineage.parent or 'none'}."
    )
    if model.recipe:
        rows = [(name, Code(value)) for name, value in sorted(flat(model.recipe))]
        yield Table("The recipe that made it.", ("field", "value"), rows)


def baselines(model: Bundle, folder: Path) -> Baselines:
    """Scores of the baselines: as the bundle records them, or else as ``metrics.json`` of its run does."""
    from registry.judged import SIDES

    own = model.metrics.get("baselines")
    if own:
        return own if set(own) <= set(SIDES) else {"held_out": own}
    for path in (folder / "metrics.json", folder.parent / "metrics.json"):
        if path.is_file():
            report = json.loads(path.read_text(encoding="utf-8"))
            return {
                side: {
                    proxy: {name: one for name, one in models.items() if name != "network"}
                    for proxy, models in (report.get(side) or {}).items()
                }
                for side in SIDES
            }
    return {}


app = cyclopts.App(name="python -m registry.card", help=__doc__, result_action="return_value")


@app.default
def show(model: str, /, *, html: Path | None = None) -> None:
    """Print the card of a model.

    Parameters
    ----------
    model
        Folder of a run or bundle, or models:/name@alias or models:/name/3.
    html
        Also write it into this file, as one page that a browser opens.
    """
    from corebank import bundle, hub
    from registry import card_html, card_markdown

    folder = hub.resolve(model)
    loaded = bundle.load(folder)
    if model.startswith("models:/"):
        version = hub.find(model)
        event = next((one for one in reversed(hub.history(version.name)) if one.version == version.number), None)
        standing = Standing(
            uri=version.uri,
            alias=", ".join(version.aliases),
            outcome=version.tags.get("corebank.gate", ""),
            report=event.report if event else "",
            baselines=baselines(loaded, folder),
        )
    else:
        standing = Standing(uri=model, baselines=baselines(loaded, folder))
    made = card(loaded, standing)
    if html is not None:
        html.write_text(card_html.html(made), encoding="utf-8")
    print(card_markdown.markdown(made), end="")


if __name__ == "__main__":
    run(app)
