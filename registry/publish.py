"""Let a model be used: check it, compare it with the champion, register it with a card, and only then move the alias.

    python -m registry.publish RUN [--name NAME] [--alias champion] [--override REASON] [--catalog CATALOG]

Nothing is registered that the gate refuses, unless somebody says why: the reason stays with the version, in the history
of the alias and on the card. The run's folder is complete by itself; where the registry is away, publish it later.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cyclopts

from corebank import cli
from corebank.errors import RegistryError
from registry import card as cards_of
from registry import card_html, card_markdown
from registry.gate import judge

if TYPE_CHECKING:
    from corebank.bundle import Bundle

CARDS = Path(__file__).parent / "cards"

app = cyclopts.App(name="python -m registry.publish", help=__doc__, result_action="return_value")


@app.default
def publish(
    run: Path,
    /,
    *,
    name: str = "",
    alias: str = "champion",
    override: str = "",
    catalog: str = "",
    cards: Path = CARDS,
) -> None:
    """Publish the bundle of a run and print the version it became. A second time it changes nothing.

    Parameters
    ----------
    run
        A finished run, or a bundle.
    name
        Model to add a version to; unless given, foundation or quantify-PROXIES.
    alias
        Who takes it over must not be worse than who has it; empty registers without an alias and without the gate.
    override
        Why it may take the alias although the gate refuses it; recorded with the version.
    catalog
        Catalog in which the gate measures what the bundles do not record, and looks for banks that have moved.
    cards
        Folder for the model's card.
    """
    from corebank import bundle, hub
    from corebank.hub import tags

    folder = hub.resolve(run)
    candidate = bundle.load(folder)
    name = name or default_name(candidate)
    former = next((version for version in hub.versions(name) if alias in version.aliases), None)
    if former is not None and former.tags[tags.DIGEST] == tags.digest(run):
        print(former.uri)
        return
    verdict, outcome, against = None, "none: no alias asked for", former.uri if former else ""
    if alias:
        champion = bundle.load(hub.resolve(former.uri)) if former else None
        verdict = judge(candidate, champion, catalog)
        print(f"{f'Against {against}' if against else 'By itself'}:\n\n{verdict}", file=sys.stderr)
        if not verdict.passed and not override.strip():
            raise RegistryError(
                run,
                f"may not replace {against} as {alias}: {verdict.reasons}"
                if against
                else f"may not become {alias}: {verdict.reasons}",
                'Train it further, or publish it with --override "REASON" or with another --alias',
            )
        passed = "passed" if former else "passed: by itself, the first to hold the alias"
        outcome = passed if verdict.passed else f"overridden: {override.strip()}"
    version = hub.find(hub.register(run, name))
    made = cards_of.card(
        candidate,
        cards_of.Standing(
            uri=version.uri,
            alias=alias,
            against=against,
            outcome=outcome,
            verdict=verdict,
            baselines=cards_of.baselines(candidate, folder),
        ),
    )
    pages = {"md": card_markdown.markdown(made), "html": card_html.html(made)}
    hub.describe(version, pages["md"], {"corebank.gate": outcome}, {"card.html": pages["html"]})
    cards.mkdir(parents=True, exist_ok=True)
    for kind, text in pages.items():
        (cards / f"{version.name}-{version.number}.{kind}").write_text(text, encoding="utf-8")
    if alias:
        report = f"Against {against}:\n\n{verdict}" if against else f"By itself:\n\n{verdict}"
        hub.point(alias, version, why=f"gate {outcome}", report=report)
    print(version.uri)


def default_name(model: Bundle) -> str:
    """``foundation``, or ``quantify-`` and the proxies, lower case."""
    return "-".join(("quantify", *(one.name.lower() for one in model.proxies))) if model.proxies else "foundation"


if __name__ == "__main__":
    cli.run(app)
