"""Every defect that can be planted is found, named and placed; folders without one get no complaint.

``python -m tests.contribution.test_planted [SEEDS]`` prints the confusion table: what was planted against what was
found. The truth of a defect is written by whoever plants it (`corebank.virtual.defects`), before anything is checked.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from corebank import contribution
from corebank.contribution.findings import Finding
from corebank.errors import ContributionError
from corebank.virtual import EXPEDITIONS, Expedition, write
from corebank.virtual.defects import DEFECTS, Planted
from corebank.virtual.defects.folder import Folder

SEEDS = 5
SMALL = {"cores": 1, "sections_per_core": 2, "spectra_per_section": 40, "labels_per_core": 10}
FOLDERS: dict[str, tuple[Expedition, bool]] = {
    "2020": (replace(EXPEDITIONS["seed"], **SMALL), True),
    "2020 unpacked": (replace(EXPEDITIONS["vm1"], **SMALL, seed=11), False),
    "2008": (replace(EXPEDITIONS["vl1"], **SMALL, seed=12), True),
    "avaatech": (replace(EXPEDITIONS["vs1"], **SMALL, seed=13), True),
    "2020 carbonate": (replace(EXPEDITIONS["vc1"], **SMALL, seed=14), True),
}
"""Folder -> what is in it, and whether its spectra are zipped."""
LABELLED = {
    "2020": (replace(EXPEDITIONS["vm1"], cores=1, sections_per_core=2, labels_per_core=60, seed=15), True),
    "avaatech": (replace(EXPEDITIONS["vs1"], cores=1, labels_per_core=60, seed=16), True),
}
"""Where depths of labels are shifted: fewer labels tell a shift from chance in no archive."""


@dataclass(slots=True)
class Trial:
    """One defect, planted once, and what a check made of it."""

    defect: str
    folder: str
    seed: int
    planted: Planted
    kinds: set[str] = field(default_factory=set)
    """Kinds of findings above info, and the planted kind where it was found."""
    wrong: list[str] = field(default_factory=list)
    """What is not as the truth says, in sentences."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def trials() -> Iterator[list[Trial]]:
    """Collects all trials, and prints the confusion table in the end (seen with ``-s``)."""
    found: list[Trial] = []
    yield found
    print(f"\n{confusion(found)}")


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found_at_its_place_and_nothing_else_is(
    name: str, clean: Path, tmp_path: Path, trials: list[Trial]
) -> None:
    done = list(tried([name], SEEDS, clean, tmp_path))
    trials += done
    assert len(done) == SEEDS
    assert not [f"{one.folder}, seed {one.seed}: {wrong}" for one in done for wrong in one.wrong]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vm1", "vs1", "vl1", "vc1", "seed"])
def test_a_clean_expedition_gets_no_complaint(name: str, tmp_path: Path) -> None:
    write(tmp_path / name, EXPEDITIONS[name])
    report, found = contribution.check(tmp_path / name)
    assert [str(one) for one in report.findings if one.severity != "info"] == []
    assert found is not None
    assert sum(report.runs.values()) == _spectra(EXPEDITIONS[name])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(101, 104))
@pytest.mark.parametrize("name", list(FOLDERS))
def test_clean_small_folders_get_no_complaint(name: str, seed: int, tmp_path: Path) -> None:
    expedition, zipped = FOLDERS[name]
    write(tmp_path / "lab", replace(expedition, seed=seed), zipped=zipped)
    report, _ = contribution.check(tmp_path / "lab")
    assert [str(one) for one in report.findings if one.severity != "info"] == []


def test_the_judge_wants_the_kind_the_place_and_every_item() -> None:
    planted = Planted("empty", "empty", "s1", "0 counts", ("S1/a", "S1/b"), ("S1",), ("S1/c",), {"low-counts": "few"})
    right = Finding("flagged", "empty", "s1", "2 of 9 spectra", "", "", ("S1/a", "S1/b"))
    companion = replace(right, kind="low-counts")
    assert judged(planted, [right, companion], {}) == []
    assert judged(planted, [replace(right, severity="info", kind="rates"), right], {}) == []
    assert judged(planted, [companion], {}) == ["empty was not found"]
    assert "elsewhere: s2" in judged(planted, [replace(right, where="s2", items=())], {})[0]
    assert judged(planted, [replace(right, items=("S1/a",))], {}) == ["not named: S1/b"]
    assert judged(planted, [replace(right, items=("S1/a", "S1/b", "S1/c"))], {}) == []
    assert judged(planted, [replace(right, items=("S1/a", "S1/b", "S1/d"))], {}) == ["named, and in order: S1/d"]
    other = replace(right, kind="outlier")
    assert judged(planted, [right, other], {}) == [f"also found: {other}"]
    junk = replace(planted, kind="", items=())
    assert judged(junk, [], {}) == []
    assert judged(junk, [other], {}) == [f"also found: {other}"]


def written(root: Path) -> Path:
    """Write every folder that defects are planted into, once."""
    for name, (expedition, zipped) in FOLDERS.items():
        write(root / name, expedition, zipped=zipped)
    for name, (expedition, zipped) in LABELLED.items():
        write(root / "labelled" / name, expedition, zipped=zipped)
    return root


def tried(names: Iterable[str], seeds: int, clean: Path, scratch: Path) -> Iterator[Trial]:
    """Plant each defect alone, `seeds` times, in turn into the folders it fits, and check them."""
    for name in names:
        labelled = DEFECTS[name].kind == "label-shift"
        root, choice = (clean / "labelled", LABELLED) if labelled else (clean, FOLDERS)
        fits = [one for one, (made, _) in choice.items() if DEFECTS[name].fits(Folder(root / one, made))]
        for seed in range(seeds):
            kind = fits[seed % len(fits)]
            folder = scratch / f"{name}-{seed}" / "lab"
            shutil.copytree(root / kind, folder)
            rng = np.random.default_rng((seed, len(name), sum(map(ord, name))))
            planted = DEFECTS[name].plant(folder, rng, choice[kind][0])
            yield _checked(Trial(name, kind, seed, planted), folder)
            shutil.rmtree(folder.parent)


def _checked(trial: Trial, folder: Path) -> Trial:
    planted = trial.planted
    try:
        report, found = contribution.check(folder)
    except ContributionError as error:  # the words themselves cannot be used: where and why stand in one message
        told = Finding("refused", planted.kind, error.found, error.found, "", error.fix)
        trial.wrong = judged(planted, [replace(told, where=planted.where)], {}) if _raised(planted) else [str(error)]
        trial.kinds = {planted.kind} if _raised(planted) else {"raised"}
        return trial
    trial.wrong = judged(planted, report.findings, report.set_aside)
    trial.kinds = {one.kind for one in report.findings if one.severity != "info" or one.kind == planted.kind}
    if (found is None) != any(one.severity in ("refused", "decision") for one in report.findings):
        trial.wrong.append("what is refused goes in, or what is not stays out")
    return trial


def _raised(planted: Planted) -> bool:
    """True where contribution.toml holds a value that no check can begin with."""
    return planted.kind == "calibration-impossible" and planted.where == "contribution.toml"


def judged(planted: Planted, findings: Iterable[Finding], set_aside: Mapping[str, str]) -> list[str]:
    """Where findings differ from the truth, in sentences; empty when every one is as it should be."""
    findings = list(findings)
    allowed = {planted.kind, *planted.companions}
    wrong = [f"also found: {one}" for one in findings if one.severity != "info" and one.kind not in allowed]
    right = [one for one in findings if one.kind == planted.kind]
    if not planted.kind or (planted.kind == "stays-out" and planted.where in set_aside):
        return wrong
    if not right:
        return [f"{planted.kind} was not found", *wrong]
    said = (planted.where, *planted.also, *planted.items)
    if strayed := [one.where for one in right if not any(_within(name, said) for name in (one.where, *one.items))]:
        wrong.append(f"{planted.kind} was found elsewhere: {', '.join(strayed)}")
    if planted.items:
        named = {name for one in right for name in (one.items or (one.where,))}
        if missed := sorted(set(planted.items) - named):
            wrong.append(f"not named: {', '.join(missed)}")
        if more := sorted(named - {*planted.items, *planted.partners}):
            wrong.append(f"named, and in order: {', '.join(more)}")
    return wrong


def _within(name: str, places: Iterable[str]) -> bool:
    """True where `name` is one of the places, or lies in one: a cell of a table, a setting's part of a run."""
    return any(name == one or (name.startswith(one) and not name[len(one)].isalnum()) for one in places)


def _spectra(expedition: Expedition) -> int:
    return expedition.cores * expedition.sections_per_core * expedition.spectra_per_section


def confusion(trials: Iterable[Trial]) -> str:
    """The confusion table: per defect how often it was planted, found as its truth says, and what else was found."""
    by_defect: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_defect[trial.defect].append(trial)
    lines = [f"{'defect':26}{'kind':26}{'planted':>8}{'found':>7}{'right':>7}  other kinds"]
    for name, done in by_defect.items():
        kind = DEFECTS[name].kind
        found = sum(kind in one.kinds if kind else True for one in done)
        others = Counter(other for one in done for other in one.kinds - {kind})
        text = ", ".join(
            f"{other} {count}{'' if other in DEFECTS[name].companions else ' !'}"
            for other, count in others.most_common()
        )
        right = sum(not one.wrong for one in done)
        lines.append(f"{name:26}{kind or '(none)':26}{len(done):8}{found:7}{right:7}  {text}")
    total = [one for done in by_defect.values() for one in done]
    right = sum(not one.wrong for one in total)
    return "\n".join([*lines, f"{right} of {len(total)} as the truth says; ! is a kind that the truth does not list"])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
        chosen = sys.argv[2:] or list(DEFECTS)
        everything = list(tried(chosen, seeds, written(Path(scratch, "clean")), Path(scratch, "planted")))
    print(confusion(everything))
    for one in everything:
        for sentence in one.wrong:
            print(f"{one.defect}, {one.folder}, seed {one.seed} ({one.planted.where}: {one.planted.what}): {sentence}")
