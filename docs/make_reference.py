"""Write the reference pages from the code: ``python docs/make_reference.py``. A test fails when one is out of date."""

from __future__ import annotations

import inspect
from pathlib import Path

from corebank import cli, errors, schema
from corebank.contribution.findings import KINDS
from corebank.contribution.laboratory import COLUMNS
from corebank.quality.thresholds import THRESHOLDS

PAGES = Path(__file__).parent / "reference"


def bank() -> str:
    """What a bank holds: every variable, attribute, flag and column."""
    lines = ["# What a bank holds", "", "Written from `corebank.schema`; do not edit.", ""]
    lines += [
        "## Arrays of a run",
        "",
        *_table(
            ("variable", "dimensions", "dtype", "unit", "meaning"),
            [
                (name, ", ".join(variable.dims), variable.dtype, variable.units or "–", variable.about)
                for name, variable in {
                    "counts": schema.COUNTS,
                    "intensity": schema.INTENSITY,
                    **schema.SPECTRUM,
                }.items()
            ],
        ),
    ]
    lines += ["## Attributes of a run", "", *_table(("attribute", "meaning"), schema.RUN_ATTRIBUTES.items())]
    lines += [
        "## Columns that runs gain when they are read together",
        "",
        *_table(("column", "meaning"), schema.PROVENANCE.items()),
    ]
    lines += ["## Measurements", "", *_table(("column", "meaning"), COLUMNS.items())]
    lines += [
        "## Flags",
        "",
        *_table(("bit", "flag", "meaning"), [(int(flag), flag.name, meaning) for flag, meaning in _flags().items()]),
    ]
    return "\n".join(lines)


def commands() -> str:
    """Every subcommand, with its help."""
    lines = [
        "# Commands",
        "",
        "Written from `corebank.cli`; do not edit. Exit codes: 0 done, 1 refused with reasons, 2 wrong usage.",
        "",
    ]
    for name in sorted(cli.COMMANDS):
        text = inspect.getdoc(cli.COMMANDS[name]) or ""
        about, _, parameters = text.partition("\nParameters\n")
        lines += [f"## corebank {name}", "", about.strip(), ""]
        signature = inspect.signature(cli.COMMANDS[name])
        lines += _table(
            ("argument", "default", "meaning"),
            [
                (_spelled(parameter), "" if parameter.default is parameter.empty else f"`{parameter.default}`", meaning)
                for parameter, meaning in zip(signature.parameters.values(), _meanings(parameters), strict=True)
            ],
        )
    return "\n".join(lines)


def error_kinds() -> str:
    """Every kind of error."""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.CorebankError)]
    lines = [
        "# Errors",
        "",
        "Written from `corebank.errors`; do not edit. Every error says where, what was found, and what to do.",
        "",
    ]
    rows = [
        (
            kind.__name__,
            ", ".join(base.__name__ for base in kind.__bases__),
            (inspect.getdoc(kind) or "").splitlines()[0],
        )
        for kind in kinds
    ]
    return "\n".join([*lines, *_table(("error", "is also", "meaning"), rows)])


def finding_kinds() -> str:
    """Everything that a check can say, and what the quality flags rest on."""
    lines = [
        "# What a check can find",
        "",
        "Written from `corebank.contribution.findings` and `corebank.quality`; do not edit.",
        "",
        "A folder with nothing above *flagged* goes in. *refused*: something is wrong. *decision*: your words must",
        "say which of two readings is true. *flagged*: it goes in, marked. *info*: good to know.",
        "",
    ]
    rows = [(f"`{name}`", kind.severity, kind.why, kind.fix) for name, kind in KINDS.items()]
    lines += _table(("kind", "severity", "why it matters", "what to do"), rows)
    lines += ["## Thresholds of the quality flags", ""]
    limits = [(flag.name, one.statistic, f"{one.value:g}", one.source) for flag, one in THRESHOLDS.items()]
    return "\n".join([*lines, *_table(("flag", "statistic", "beyond", "where the value comes from"), limits)])


def pages() -> dict[str, str]:
    """File name -> content."""
    return {"bank.md": bank(), "commands.md": commands(), "errors.md": error_kinds(), "findings.md": finding_kinds()}


def _table(header: tuple[str, ...], rows: object) -> list[str]:
    body = [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows]  # type: ignore[attr-defined]
    return [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *body, ""]


def _flags() -> dict[schema.Flag, str]:
    """The text under each member of `Flag`, which Python itself does not keep."""
    source = inspect.getsource(schema.Flag).splitlines()
    meanings = [" ".join(line.split()).strip('"') for line in "\n".join(source).split('"""')[3::2]]
    return dict(zip(schema.Flag, meanings, strict=True))


def _meanings(numpydoc: str) -> list[str]:
    meanings: list[str] = []
    for line in numpydoc.splitlines():
        if line and not line.startswith((" ", "-")):
            meanings.append("")
        elif line.startswith(" ") and meanings:
            meanings[-1] = f"{meanings[-1]} {line.strip()}".strip()
    return meanings


def _spelled(parameter: inspect.Parameter) -> str:
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return f"`{parameter.name.upper()}`"
    return f"`--{parameter.name.removesuffix('_file').removeprefix('as_').replace('_', '-')}`"


if __name__ == "__main__":
    for name, content in pages().items():
        (PAGES / name).write_text(content.rstrip() + "\n", encoding="utf-8")
