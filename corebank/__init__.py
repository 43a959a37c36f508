"""corebank: a federated data catalog and model registry for XRF spectra of sediment cores."""

__version__ = "0.1.0"
