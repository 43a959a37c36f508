"""The ``corebank`` command: one subcommand per public function, and nothing of its own.

Exit codes: 0 done, 1 refused with reasons, 2 wrong usage. Results go to stdout, everything else to stderr. Heavy
imports wait until a command needs them, so that ``corebank --help`` stays quick.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import cyclopts
from cyclopts import App

from corebank import __version__
from corebank.cli import federating, transferring
from corebank.cli.banking import init, log, tag
from corebank.cli.contributing import add, amend, check, draft, samples, virtual
from corebank.cli.exporting import export, verify
from corebank.cli.finding import cite, search
from corebank.cli.history import compact, diff, migrate, rebuild, restore, withdraw
from corebank.cli.modelhub import models
from corebank.cli.modelling import predict, pull
from corebank.errors import CorebankError

app = App(
    name="corebank",
    help="A federated data catalog and model registry for XRF spectra of sediment cores.",
    version=__version__,
    result_action="return_value",
)

COMMANDS: dict[str, Callable[..., int | None]] = {
    "init": init,
    "draft": draft,
    "check": check,
    "add": add,
    "amend": amend,
    "log": log,
    "tag": tag,
    "diff": diff,
    "verify": verify,
    "export": export,
    "withdraw": withdraw,
    "restore": restore,
    "rebuild": rebuild,
    "compact": compact,
    "migrate": migrate,
    "search": search,
    "cite": cite,
    "catalog join": federating.join,
    "catalog build": federating.build,
    "catalog check": federating.check,
    "samples": samples,
    "virtual": virtual,
    "predict": predict,
    "pull": pull,
    "transfer learn": transferring.learn,
    "transfer apply": transferring.apply,
    "models": models,
}
"""The subcommands, in the order in which people meet them; ``catalog join`` is ``join`` below ``catalog``."""

_groups = {
    "": app,
    "catalog": App(name="catalog", help="Keep a federation: the catalog of many labs' catalogs."),
    "transfer": App(name="transfer", help="Turn spectra of one machine into what another would have measured."),
}
for _name in ("catalog", "transfer"):
    app.command(_groups[_name])

for _name, _command in COMMANDS.items():
    _group, _, _verb = _name.rpartition(" ")
    _groups[_group].command(_command, name=_verb)


def run(program: App, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command-line program the way every corebank program behaves; never returns.

    Our own errors are sentences and exit 1, and so are files that cannot be read or written; wrong usage exits 2;
    anything else is a bug and keeps its traceback.
    """
    try:
        code = program(arguments, exit_on_error=False, print_error=True)
    except CorebankError as error:
        print(f"corebank: {error}", file=sys.stderr)
        sys.exit(1)
    except cyclopts.CycloptsError:
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"corebank: {error.filename}: {error.strerror}. Check the path and your permissions.", file=sys.stderr)
        sys.exit(1)
    except ImportError as error:
        if error.name not in ("torch", "mlflow", "safetensors", "sklearn"):
            raise
        print(
            f"corebank: this needs {error.name}, which is not installed. "
            'Install it with: pip install "corebank[models]".',
            file=sys.stderr,
        )
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def main() -> NoReturn:
    """Entry point of the ``corebank`` command."""
    run(app)
