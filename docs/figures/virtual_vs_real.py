"""Draw mean virtual spectra over mean real ones: python docs/figures/virtual_vs_real.py

Real spectra come from the folder that the environment variable COREBANK_DATA names, or from ../shared/data beside the
checkout: CD166/19 (Itrax), Ardley Lake (Itrax of 2008) and the mean of the MAX corpus (Avaatech). The tests read the
same comparisons.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corebank.virtual.instrument import INSTRUMENTS
from corebank.virtual.sediment import sediment
from corebank.virtual.spectra import simulate

DATA = Path(os.environ.get("COREBANK_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
FIGURE = Path(__file__).with_name("virtual-vs-real.png")
LINES = {
    "Al": 1.49,
    "Si": 1.74,
    "S": 2.31,
    "Cl": 2.62,
    "Ar": 2.96,
    "K": 3.31,
    "Ca": 3.69,
    "Ti": 4.51,
    "Cr": 5.41,
    "Mn": 5.90,
    "Fe": 6.40,
    "tube W": 8.40,
    "Br": 11.92,
    "Rb": 13.39,
    "Sr": 14.16,
    "Zr": 15.75,
    "tube Mo": 17.45,
}
"""Strongest line of each element [keV]; at 2.70 keV chlorine hides the L line of a rhodium tube."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Mean spectra of a real and a virtual archive over the channels that both measured, counts per exposure."""

    title: str
    energies: np.ndarray
    real: np.ndarray
    virtual: np.ndarray
    low: float
    high: float
    totals: tuple[float, float]
    """Smallest and largest total counts of the virtual spectra."""

    @property
    def measured(self) -> np.ndarray:
        """Channels that are compared."""
        inside = (self.energies > self.low) & (self.energies < self.high)
        return inside & (self.real > 0) & (self.virtual > 0)

    @property
    def correlation(self) -> float:
        """Correlation of the logarithms."""
        real, virtual = np.log(self.real[self.measured]), np.log(self.virtual[self.measured])
        return float(np.corrcoef(real, virtual)[0, 1])

    @property
    def misfit(self) -> float:
        """Standard deviation of the logarithm of the ratio: 0.2 means that channels differ by 20 %."""
        return float(np.std(np.log(self.virtual[self.measured] / self.real[self.measured])))


def comparisons(data: Path = DATA) -> list[Comparison]:
    """Itrax of 2020, Avaatech at 10 kV, Itrax of 2008, in this order."""
    cd166, ardley = mean_itrax(data / "itrax-cd166"), mean_itrax(data / "itrax-ardley")
    corpus = np.load(data / "avaatech-nwp" / "nwp_caco3.npz")["corpus_mean"]
    return [
        _compare("Itrax, Mo 30 kV: core CD166/19", cd166, "carbonate", "itrax-mo-2020", 19),
        _compare("Avaatech, Rh 10 kV: corpus of MAX", corpus, "siliceous", "avaatech-rh-10kv", 10),
        _compare("Itrax of 2008: Ardley Lake", ardley, "lake", "itrax-mo-2008", 18.5, low=0.7),
    ]


def _compare(title: str, real: np.ndarray, setting: str, scanner: str, high: float, low: float = 0.5) -> Comparison:
    instrument, counts = INSTRUMENTS[scanner], []
    for core in range(12):
        found = sediment(setting, np.arange(0.0, 1000.0, 20.0), core_seed=(99, core))
        counts.append(simulate(found["mass_fraction"], instrument, water_film=instrument.water_film))
    every = np.concatenate(counts)
    totals = every.sum(axis=1)
    return Comparison(
        title=title,
        energies=instrument.energies,
        real=real,
        virtual=every.mean(axis=0),
        low=low,
        high=high,
        totals=(totals.min(), totals.max()),
    )


def mean_itrax(folder: Path) -> np.ndarray:
    """Mean of all spectra in the zip archives below a folder."""
    spectra = []
    for path in sorted(folder.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".spe") and "__MACOSX" not in name:
                    body = archive.read(name).split(b"channel\tcontent\t\t\r")[1]
                    spectra.append([float(line.split(b"\t")[1]) for line in body.splitlines()])
    return np.asarray(np.mean(spectra, axis=0))


def draw(pairs: list[Comparison], path: Path) -> None:
    """Two panels, logarithmic counts, the lines named where they stand."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(pairs), 1, figsize=(9, 3.6 * len(pairs)), layout="constrained")
    for axis, pair in zip(axes, pairs, strict=True):
        axis.semilogy(pair.energies, pair.real, color="0.15", lw=1.1, label="real, mean")
        axis.semilogy(pair.energies, pair.virtual, color="tab:red", lw=0.9, label="virtual, mean")
        for name, energy in LINES.items():
            if pair.low < energy < pair.high and ("tube" not in name or "Mo" in pair.title):
                height = pair.real[np.abs(pair.energies - energy) < 0.1].max()
                axis.annotate(name, (energy, height * 1.25), ha="center", va="bottom", fontsize=7)
        axis.set(xlim=(0, pair.high + 2), ylim=(1, pair.real.max() * 4), ylabel="counts per channel")
        axis.set_title(f"{pair.title}; r = {pair.correlation:.3f} on log counts", fontsize=9)
        axis.legend(fontsize=8, loc="upper right")
    axes[-1].set_xlabel("energy [keV]")
    figure.savefig(path, dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    found = comparisons()
    draw(found[:2], FIGURE)
    for pair in found:
        counts = "counts {:.3g} to {:.3g}".format(*pair.totals)
        print(f"{pair.title}: r = {pair.correlation:.4f}, misfit {pair.misfit:.2f}, {counts}")
