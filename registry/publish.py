"""Let a model be used: check it, compare it with the champion, register it with a card, and only then move the alias.

python -m registry.publish RUN [--name NAME] [--alias champion] [--override REASON]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cyclopts

from corebank import cli
from corebank.errors import RegistryError
from registry.card import card
from registry.gate import compare

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
    cards
        Folder for the model's card.
    """
    from corebank import bundle, hub
    from corebank.hub import tags

    candidate = bundle.load(hub.resolve(run))
    name = name or default_name(candidate)
    former = next((version for version in hub.versions(name) if alias in version.aliases), None)
    outcome, table = "none: no alias asked for" if not alias else "none: the first to hold the alias", ""
    if former is not None and former.tags[tags.DIGEST] == tags.digest(run):
        print(former.uri)
        return
    if former is not None:
        verdict = compare(candidate, bundle.load(hub.resolve(former.uri)))
        table = f"Against {former.uri.removeprefix('models:/')}:\n\n{verdict}"
        print(table, file=sys.stderr)
        if not verdict.passed and not override:
            raise RegistryError(
                run,
                f"may not replace {former.uri} as {alias}: {verdict.reasons}",
                'Train it further, or publish it with --override "REASON" or with another --alias',
            )
        outcome = "passed" if verdict.passed else f"overridden: {override}"
    uri = hub.register(run, name)
    version = hub.find(uri)
    text = card(candidate, uri, table)
    hub.describe(version, text, {"corebank.gate": outcome})
    cards.mkdir(parents=True, exist_ok=True)
    (cards / f"{version.name}-{version.number}.md").write_text(text, encoding="utf-8")
    if alias:
        hub.point(alias, version, why=f"gate {outcome}")
    print(uri)


def default_name(model: Bundle) -> str:
    """``foundation``, or ``quantify-`` and the proxies, lower case."""
    return "-".join(("quantify", *(one.name.lower() for one in model.proxies))) if model.proxies else "foundation"


if __name__ == "__main__":
    cli.run(app)
