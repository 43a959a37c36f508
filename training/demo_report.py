"""What the demo reports: what went in, the losses, the error on the core that nobody trained on, and where it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from corebank import catalog, labels
from training.scores import score


def make(
    out: Path, title: str, runs: Sequence[Mapping[str, Path]], *, core: str, section: str, proxies: Sequence[str]
) -> dict[str, Any]:
    """Collect the report, and the figures of the runs into ``figures/``.

    Parameters
    ----------
    out
        Folder of the demo: ``federation.yaml``, ``prediction.csv``, ``runs/``.
    title
        What was run.
    runs
        The folders of each stage's ``pretrain`` and ``finetune``.
    core, section
        What nobody trained on; an empty section means the whole core.
    proxies
        What was quantified.
    """
    stages = [
        {kind: json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for kind, folder in run.items()}
        for run in runs
    ]
    for stage, run in enumerate(runs, 1):
        for figure in sorted((run["pretrain"] / "figures").glob("*.png")):
            shutil.copy(figure, out / "figures" / f"{figure.stem}-{stage}.png")
    return {
        "title": title,
        "went_in": [
            {
                "site": site,
                "expedition": expedition,
                "spectra": sum(source.metadata["runs"].values()),
                "runs": len(source.metadata["runs"]),
                "cores": len(source.metadata["cores"]),
                "measurements": source.metadata["measurements"],
            }
            for site, expedition, source in catalog.sources(out / "federation.yaml")
        ],
        "pretraining": [_losses(stage["pretrain"]) for stage in stages],
        "held_out": {
            "core": core,
            "section": section,
            "models": stages[-1]["finetune"]["held_out"],
            "prediction": _judged(out, core, section, proxies),
        },
        "figures": sorted(path.name for path in (out / "figures").glob("*.png")),
    }


def table(report: Mapping[str, Any]) -> str:
    """The report as lines of text."""
    lines = [f"corebank on {report['title']}", "", "What went in"]
    for one in report["went_in"]:
        lines.append(
            f"  {one['site']}/{one['expedition']}: {one['spectra']} spectra in {one['runs']} runs "
            f"of {one['cores']} cores, {one['measurements']} measurements"
        )
    lines.append(f"  together {sum(one['spectra'] for one in report['went_in'])} spectra")
    for stage, losses in enumerate(report["pretraining"], 1):
        lines += [
            "",
            (
                f"Pretraining, stage {stage}: {losses['spectra']} spectra, {losses['epochs']} epochs, "
                f"{losses['seconds']:.0f} s"
            ),
        ]
        lines += [f"  training loss {losses['train'][0]:.3f} -> {losses['train'][1]:.3f}"]
        lines += [
            f"  held out of {name} {first:.3f} -> {last:.3f}" for name, (first, last) in losses["validation"].items()
        ]
    held = report["held_out"]
    lines += [
        "",
        (
            f"Nobody trained on {' '.join(filter(None, (held['core'], held['section'])))}; "
            "prediction.csv against its laboratory values"
        ),
    ]
    for proxy, one in held["prediction"].items():
        lines.append(
            f"  {proxy} [{one['unit']}]: R2 {one['r2']:.2f}, RMSE {one['rmse']:.2f}, bias {one['bias']:+.2f}, "
            f"n {one['n']}; {one['inside']} of {one['n']} inside the 90 % interval; "
            f"{one['warned']} of {one['spectra']} spectra with a warning"
        )
    lines += [
        "",
        "All held-out labels, beside baselines fitted to the same labels (R2 against the mean of the held-out labels)",
    ]
    for proxy, models in held["models"].items():
        lines += [
            f"  {proxy:<8} {name:<12} R2 {one['r2']:6.2f}  RMSE {one['rmse']:6.2f}  n {one['n']}"
            for name, one in models.items()
        ]
    lines += [
        "",
        (
            f"In {report['folder']}: prediction.csv, report.json, federation.yaml, banks/, runs/, figures/ "
            f"({', '.join(report['figures'])})"
        ),
        f"{report['seconds']:.0f} s, peak memory {report['peak_memory_mb']} MB",
        "",
        "To quantify another core with the model that was made:",
        f"  export MLFLOW_TRACKING_URI={report['tracking_uri']}",
        f"  corebank predict models:/{report['quantifier']}@champion FOLDER --out values.csv --plot profile.png",
    ]
    return "\n".join(lines)


def _losses(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """First and last loss of a pretraining run."""
    epochs = metrics["epochs"]
    return {
        "spectra": metrics["spectra"]["train"],
        "epochs": len(epochs["train"]),
        "seconds": metrics["seconds"],
        "train": [epochs["train"][0], epochs["train"][-1]],
        "validation": {name: [losses[0], losses[-1]] for name, losses in epochs["validation"].items()},
    }


def _judged(out: Path, core: str, section: str, proxies: Sequence[str]) -> dict[str, Any]:
    """The written prediction against the laboratory values of its core: means over each labelled interval."""
    prediction = pd.read_csv(
        out / "prediction.csv", dtype={"core": str, "section": str}, keep_default_na=False, na_values=[""]
    )
    measured = catalog.measurements(out / "federation.yaml", proxies=proxies)
    measured = measured[(measured["core"] == core) & measured["section"].isin({section, ""})]
    spectra = xr.Dataset({name: ("spectrum", prediction[name].to_numpy()) for name in ("core", "section", "depth")})
    results = {}
    for proxy in proxies:
        found = labels.match(spectra, measured, proxy)
        found = found[found.matched]
        means = {
            name: np.array([prediction[f"{proxy}{name}"].to_numpy()[rows].mean() for rows in found.rows])
            for name in ("", "_lower", "_upper")
        }
        truth = found.values[:, 0]
        results[proxy] = score(truth, means[""]) | {
            "unit": found.units[0],
            "inside": int(((truth >= means["_lower"]) & (truth <= means["_upper"])).sum()),
            "spectra": len(prediction),
            "warned": int(prediction["warning"].notna().sum()),
        }
    return results
