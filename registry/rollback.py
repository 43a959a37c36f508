"""Give an alias back to the version that had it before; again for the one before that.

    python -m registry.rollback NAME --because REASON [--alias champion]

Nothing is deleted: the version that loses the alias stays registered, and who went back, when and why stays on record
(`corebank models NAME --history`).
"""

from __future__ import annotations

import sys

import cyclopts

from corebank import cli

app = cyclopts.App(name="python -m registry.rollback", help=__doc__, result_action="return_value")


@app.default
def rollback(name: str, /, *, because: str, alias: str = "champion") -> None:
    """Give an alias back to the version that had it before, and print that version.

    The bundle of that version is fetched and checked first. Refused when no version had the alias before.

    Parameters
    ----------
    name
        The model.
    because
        Why; it stays on record.
    alias
        The alias.
    """
    from corebank import hub

    version = hub.rollback(name, alias, because=because)
    event = next(one for one in reversed(hub.history(name)) if one.alias == alias)
    print(f"corebank: {alias} of {name} went back from version {event.former} to {event.version}", file=sys.stderr)
    print(version.uri)


if __name__ == "__main__":
    cli.run(app)
