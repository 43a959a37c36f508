"""Raw files to committed bank, beside the published way, in one run: ``python -m tests.bench.contribute``.

The published way (MAX, arXiv 2410.12330) makes a corpus of one CSV file per spectrum with ``numpy.loadtxt`` and
``numpy.savetxt``, one file after the other. corebank checks the same folder, calibrates it and commits it to a bank.
Both start from the same zips of virtual Itrax spectra. Beside the rates, which hold on an idle machine only, stands the
processor time of a thousand spectra, all processes together: the published way has one at a time, ours all cores.
Memory is the peak of a process of its own, for one size of folder and for a quarter of it.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from corebank import bank, contribution, parallel, virtual
from tests import memory as resident

SECTION = 500
"""Spectra of a section: those of Ardley Lake have 326 to 499, Lago Pato's 496."""


def raw_folder(folder: Path, spectra: int) -> Path:
    """Virtual Itrax sections, `spectra` in all, as a scanner leaves them: 2 mm apart, one section a core."""
    cores, step = max(spectra // SECTION, 1), 2.0
    size = min(spectra, SECTION)
    expedition = replace(
        virtual.named("vm1"), cores=cores, sections_per_core=1, spectra_per_section=size, step=step, labels_per_core=20
    )
    virtual.write(folder, expedition)
    return folder


def published(raw: Path, corpus: Path) -> int:
    """One CSV file per spectrum; returns their number."""
    corpus.mkdir(parents=True)
    done = 0
    for path in sorted(raw.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                content = archive.read(member)
                table = content[content.index(b"\r", content.index(b"channel\tcontent")) + 1 :]
                counts = np.loadtxt(io.BytesIO(table), usecols=1)
                np.savetxt(corpus / f"{path.parent.name}_{Path(member).stem}.csv", counts, fmt="%d")
                done += 1
    return done


def ours(raw: Path, where: Path) -> int:
    """Check and commit, as the command does; returns the number of spectra in the bank."""
    made = bank.create(where, site="virtual-ocean")
    with parallel.scheduler(""):
        checked = contribution.checked(raw)
    return sum(made.add(checked).runs.values())


def main(spectra: int = 8000) -> None:
    """Time both, three times each and in turn; print the medians, their ratio and the peaks of memory."""
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        raw = raw_folder(at / "raw", spectra)
        rates: dict[str, list[float]] = {"published": [], "corebank": []}
        work_of: dict[str, list[float]] = {"published": [], "corebank": []}
        for turn in range(3):
            for name, work in (("published", published), ("corebank", ours)):
                start, spent = time.perf_counter(), processor_time()
                done = work(raw, at / f"{name}-{turn}")
                rates[name].append(done / (time.perf_counter() - start))
                work_of[name].append((processor_time() - spent) / done * 1000)
        middle = {name: float(np.median(values)) for name, values in rates.items()}
        for name, value in middle.items():
            runs = ", ".join(f"{one:.0f}" for one in rates[name])
            spent = float(np.median(work_of[name]))
            print(f"{name}: {value:.0f} spectra/s (runs: {runs}), {spent:.2f} s of processor per 1,000 spectra")
        print(f"ratio: {middle['corebank'] / middle['published']:.1f}")
        for folder in (raw_folder(at / "smaller", spectra // 4), raw):
            code = f"from tests.bench.contribute import measured; measured({str(folder)!r})"
            told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
            print("memory: {spectra} spectra, peak {peak} MB, {seconds} s".format(**json.loads(told)))


def processor_time() -> float:
    """Seconds of processor that this process and those it started, which still run, have used."""
    workers = (one.cpu_times() for one in psutil.Process().children(recursive=True))
    return time.process_time() + sum(times.user + times.system for times in workers)


def measured(folder: str) -> None:
    """Bring `folder` into a new bank and print the peak of this process's memory."""
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        done = ours(Path(folder), Path(scratch) / "bank")
        seconds = round(time.perf_counter() - start, 1)
    peak = resident.peak() // 2**20
    print(json.dumps({"spectra": done, "peak": peak, "seconds": seconds}))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
