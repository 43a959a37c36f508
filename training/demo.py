"""The main job, end to end: ``python -m training.demo``, or ``make demo``.

Raw scanner folders go into banks, the federation opens through Intake, a foundation model pretrains and is registered,
a quantifier is fine-tuned, registered and promoted, another expedition arrives, pretraining continues, and a core that
no model trained on is quantified from its raw files. Every step is the command that a user would type; the demo prints
it and runs it. With ``--data`` the same happens on real cores, with ``--samples`` on the public ones that anyone can
fetch.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cyclopts import App

from corebank import catalog, cli
from corebank.errors import TrainingError
from training import demo_report

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "training" / "recipes"
FOUNDATION = "foundation"

SAMPLES = {
    "cd166": "itrax-cd166",
    "lagopato": "itrax-lagopato",
    "ardley": "itrax-ardley",
    "cd166-calibration": "itrax-cd166-calibration",
}
"""The public sample cores, and the folder that each is fetched into."""

app = App(name="python -m training.demo", help=__doc__, result_action="return_value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A raw folder to bring in: where it lies, its contribution.toml where that lies elsewhere, and its site."""

    name: str
    path: Path
    site: str
    toml: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is brought in when, which recipes are run, and what is kept from every model to be quantified at the end."""

    title: str
    synthetic: bool
    first: tuple[Folder, ...]
    later: tuple[Folder, ...]
    recipes: str
    """Prefix of the recipes: ``virtual`` or ``cores``."""
    proxies: tuple[str, ...]
    held_out: str
    """Core, or section, that nobody trains on: its raw folder, or its entry in the bank."""
    core: str
    section: str = ""

    @property
    def quantifier(self) -> str:
        """Name of the registered quantifier."""
        return "quantify-" + "-".join(proxy.lower() for proxy in self.proxies)


def virtual_plan(out: Path) -> Plan:
    """Three virtual expeditions of three machines at two sites, and a fourth on another head that arrives later."""
    sites = {"vm1": "virtual-ocean", "vs1": "virtual-ocean", "vl1": "virtual-lakes", "vc1": "virtual-ocean"}
    folders = {name: Folder(name=name, path=out / "raw" / name, site=site) for name, site in sites.items()}
    return Plan(
        title="virtual cores (synthetic spectra)",
        synthetic=True,
        first=tuple(folders[name] for name in ("vm1", "vs1", "vl1")),
        later=(folders["vc1"],),
        recipes="virtual",
        proxies=("CaCO3",),
        held_out=str(out / "raw" / "vc1" / "VC1-3_S1"),
        core="VC1-3",
    )


def real_plan(data: Path, out: Path) -> Plan:
    """CD166/19, Lago Pato and Ardley Lake in one bank; nobody trains on Ardley's section ARD1E.

    Where the cores were fetched as samples, Ardley's laboratory values are not there: then as `sample_plan`.
    """
    if (data / SAMPLES["cd166-calibration"]).is_dir():
        return sample_plan(data, out)
    words = Path(cli.__file__).parent / "sample_cores"
    folders = [
        Folder(name=name, path=data / folder, site="samples", toml=words / f"{name}.toml")
        for name, folder in SAMPLES.items()
        if name != "cd166-calibration"
    ]
    for folder in folders:
        if not folder.path.is_dir():
            raise TrainingError(
                folder.path,
                "there is no such folder",
                "Name the folder that holds itrax-cd166, itrax-ardley and itrax-lagopato",
            )
    return Plan(
        title="real cores",
        synthetic=False,
        first=tuple(folders),
        later=(),
        recipes="cores",
        proxies=("Fe2O3", "TC"),
        held_out=f"{out / 'banks' / 'samples'}::ardley/ard1e",
        core="ARD",
        section="ARD1E",
    )


def sample_plan(data: Path, out: Path) -> Plan:
    """The public sample cores in one bank; nobody trains on CD166/19's section S3, neither its scans nor its slices."""
    return Plan(
        title="public sample cores",
        synthetic=False,
        first=tuple(Folder(name=name, path=data / folder, site="samples") for name, folder in SAMPLES.items()),
        later=(),
        recipes="samples",
        proxies=("Ca", "Fe"),
        held_out=f"{out / 'banks' / 'samples'}::cd166-calibration/s3",
        core="CD166/19",
        section="S3",
    )


@dataclass(slots=True)
class Shell:
    """Runs the commands, echoes them, and keeps how long each took [s]."""

    environment: Mapping[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, *words: object) -> None:
        """Run one command from the checkout and show its output; a failure ends the demo."""
        shown = [str(word) for word in words]
        program = [sys.executable, *(["-m", "corebank"] if shown[0] == "corebank" else []), *shown[1:]]
        print("\n$ " + " ".join(_relative(word) for word in shown), flush=True)
        start = time.monotonic()
        done = subprocess.run(  # noqa: S603 - the words are this module's own
            program, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True, check=False
        )
        self.seconds[" ".join(_relative(word) for word in shown)] = round(time.monotonic() - start, 1)
        print("".join(f"  {_relative(line)}\n" for line in done.stdout.splitlines()), end="", flush=True)
        if done.returncode:
            raise TrainingError(" ".join(shown), f"ended with exit code {done.returncode}", "See its message above")


@app.default
def main(*, data: Path | None = None, samples: Path | None = None, out: Path = ROOT / "demo") -> None:
    """Run the main job, and print a table of what came of it.

    Parameters
    ----------
    data
        Folder of real cores (itrax-cd166, itrax-ardley, itrax-lagopato); without it the virtual scanner is used.
    samples
        Folder for the public sample cores, instead of `data`; what it does not hold already is fetched.
    out
        Folder for everything that is made; emptied first.
    """
    start, out = time.monotonic(), out.absolute()
    if samples:
        plan = sample_plan(samples.absolute(), out)
    else:
        plan = real_plan(data.absolute(), out) if data else virtual_plan(out)
    _empty(out)
    (out / "figures").mkdir()
    store = f"sqlite:///{out / 'runs' / 'mlflow.db'}"
    shell = Shell(os.environ | {"MLFLOW_TRACKING_URI": store})
    print(f"corebank on {plan.title}")

    if samples:
        for folder in plan.first:
            shell("corebank", "samples", folder.name, folder.path)
    bring_in(shell, plan.first, out, plan)
    runs = [train(shell, plan, out, stage=1)]
    if plan.later:
        bring_in(shell, plan.later, out, plan)
        runs.append(train(shell, plan, out, stage=2))
    shell(
        "corebank",
        "predict",
        f"models:/{plan.quantifier}@champion",
        plan.held_out,
        "--out",
        out / "prediction.csv",
        "--plot",
        out / "figures" / "prediction.png",
    )
    report = demo_report.make(out, plan.title, runs, core=plan.core, section=plan.section, proxies=plan.proxies)
    report |= {
        "seconds": round(time.monotonic() - start, 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "commands": shell.seconds,
        "folder": _relative(out),
        "quantifier": plan.quantifier,
        "tracking_uri": store,
    }
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n" + demo_report.table(report))


def bring_in(shell: Shell, folders: Sequence[Folder], out: Path, plan: Plan) -> None:
    """Contribute each folder to the bank of its site, and open the federation of all of them."""
    for folder in folders:
        bank = out / "banks" / folder.site
        if plan.synthetic:
            shell("corebank", "virtual", folder.path, "--expedition", folder.name)
        if not bank.exists():
            shell("corebank", "init", bank, "--site", folder.site)
        shell("corebank", "add", bank, folder.path, *(["--toml", folder.toml] if folder.toml else []))
    members = {bank.name: bank / "catalog.yaml" for bank in sorted((out / "banks").iterdir())}
    catalog.write_federation(out / "federation.yaml", members, title=plan.title)
    opened = catalog.open_catalog(out / "federation.yaml")
    print(f'\n>>> cat = intake.open_catalog("{_relative(out / "federation.yaml")}")')
    for site in list(opened):
        print(f"  {site}: {', '.join(opened[site])}")


def train(shell: Shell, plan: Plan, out: Path, *, stage: int) -> Mapping[str, Path]:
    """Pretrain, or continue; fine-tune; publish both. Returns the folders of the two runs."""
    federation = out / "federation.yaml"
    runs = {"pretrain": out / "runs" / f"pretrain-{stage}", "finetune": out / "runs" / f"finetune-{stage}"}
    recipe = RECIPES / f"{plan.recipes}-{'pretrain' if stage == 1 else 'continue'}.toml"
    before = ["--from", f"models:/{FOUNDATION}@champion"] if stage > 1 else []
    shell("python", "-m", "training.pretrain", recipe, "--catalog", federation, *before, "--out", runs["pretrain"])
    cards = ["--alias", "champion", "--cards", out / "cards"]
    shell("python", "-m", "registry.publish", runs["pretrain"], "--name", FOUNDATION, *cards)
    shell(
        "python",
        "-m",
        "training.finetune",
        RECIPES / f"{plan.recipes}-finetune.toml",
        "--catalog",
        federation,
        "--from",
        f"models:/{FOUNDATION}@champion",
        *(word for proxy in plan.proxies for word in ("--proxy", proxy)),
        "--out",
        runs["finetune"],
    )
    shell("python", "-m", "registry.publish", runs["finetune"], "--name", plan.quantifier, *cards)
    return runs


def _empty(out: Path) -> None:
    """Make `out` an empty folder; raises `TrainingError` when it holds anything but an earlier demo."""
    mark = out / ".corebank-demo"
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise TrainingError(out, "holds something else than an earlier demo", "Name a new folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    mark.touch()


def _relative(word: object) -> str:
    """A path as a person in the checkout would type it."""
    return str(word).replace(f"{ROOT}{os.sep}", "")


if __name__ == "__main__":
    cli.run(app)
