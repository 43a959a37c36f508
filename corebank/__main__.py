"""``python -m corebank`` is the ``corebank`` command."""

from corebank.cli import main

main()
