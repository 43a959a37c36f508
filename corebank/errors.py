"""Every error corebank raises: where it is, what was found, what to do.

Each kind is also a builtin kind, so ``except ValueError`` works for people who do not know us, and each hands all its
arguments to ``super()``, so that it pickles back from a Dask worker.
"""

from __future__ import annotations

from os import PathLike

Where = str | PathLike[str]


class CorebankError(Exception):
    """Base of all corebank errors; never raised itself.

    Parameters
    ----------
    where
        File, ``file!member``, table cell, bank, model or setting in which the fault lies.
    found
        What was found there, in words and values.
    fix
        What the reader of the message can do about it.
    """

    def __init__(self, where: Where, found: str, fix: str) -> None:
        super().__init__(where, found, fix)
        self.where, self.found, self.fix = where, found, fix

    def __str__(self) -> str:
        return f"{self.where}: {self.found}. {self.fix}."


class ReadError(CorebankError, ValueError):
    """A scanner file is not what it claims to be."""


class UnsafeFileError(ReadError):
    """An archive or a link that leads out of its folder, or unpacks to far more than it holds."""


class UnitError(CorebankError, ValueError):
    """A quantity has no unit, an unknown unit, or a unit of another dimension."""


class SchemaError(CorebankError, ValueError):
    """A dataset or a table breaks the schema; ``found`` lists every problem at once."""


class CalibrationError(CorebankError, ValueError):
    """The energy axis of a spectrum is unknown or impossible."""


class ContributionError(CorebankError, ValueError):
    """A contribution cannot go in; ``found`` lists every reason."""


class BankError(CorebankError, ValueError):
    """A bank cannot do what was asked of it."""


class BankNotFoundError(BankError, LookupError):
    """A bank, expedition, run, snapshot, branch or release is not there."""


class CatalogError(CorebankError, LookupError):
    """A catalog entry is missing, or its catalog cannot be opened."""


class LicenceError(CorebankError, ValueError):
    """Data cannot be used together, or in that way, under the licences they carry."""


class OfflineError(CatalogError):
    """A member of a federation does not answer."""


class EntryError(CatalogError, ValueError):
    """A catalog or an entry is refused for what it holds, or an entry was asked for what it does not take."""


class SampleError(CorebankError, RuntimeError):
    """A public sample core cannot be fetched, or is not what was published."""


class FeedError(CorebankError, ValueError):
    """A selection cannot be fed to a model."""


class RecipeError(CorebankError, ValueError):
    """A training recipe holds a field that is unknown or out of range."""


class TrainingError(CorebankError, RuntimeError):
    """A training run cannot start, go on, or be resumed."""


class BundleError(CorebankError, ValueError):
    """A model on disk is damaged, or was not made for what is asked of it."""


class RegistryError(CorebankError, LookupError):
    """A model, version, alias or run is not in the registry, or may not enter it."""


class PredictError(CorebankError, ValueError):
    """An input cannot be quantified by this model."""


class TransferError(CorebankError, ValueError):
    """Two scans do not give a mapping from one machine to the other, or a mapping was not made for these spectra."""
