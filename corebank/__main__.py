"""``python -m corebank`` is the ``corebank`` command."""

from corebank.cli import main

if __name__ == "__main__":  # processes that help reading import this module again
    main()
