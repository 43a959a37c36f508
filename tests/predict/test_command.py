"""The command ``corebank predict``: from a bundle and spectra to values, a picture and an explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from distributed import LocalCluster

from corebank import bundle, cli, predict
from tests.bench import export
from tests.bench import predict as bench
from tests.predict.test_sources import small_model
from tests.registry.models import quantifier, spectra


def corebank(*words: object) -> int:
    """Exit code of a ``corebank`` command."""
    with pytest.raises(SystemExit) as ended:
        cli.run(cli.app, [str(word) for word in words])
    return int(ended.value.code or 0)


def test_from_a_bundle_and_a_table_to_values_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, ds = quantifier(outlier=None), spectra()
    ds["flags"].values[3] = 2
    bundle.save(model, tmp_path / "bundle")
    predict.to_table(ds).to_csv(tmp_path / "spectra.csv", index=False)
    out, plot = tmp_path / "values.csv", tmp_path / "p.png"
    assert corebank("predict", tmp_path / "bundle", tmp_path / "spectra.csv", "--out", out, "--plot", plot) == 0
    assert capsys.readouterr().out == f"{out}: 12 spectra quantified, 1 of them with a warning; {plot}\n"
    expected = predict.quantify(model, ds)
    written = pd.read_csv(out, keep_default_na=False)
    assert list(written) == list(expected)
    pd.testing.assert_frame_equal(
        written.drop(columns="outlier_score"), expected.drop(columns="outlier_score"), check_dtype=False
    )
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_words_that_lie_elsewhere_and_several_proxies_are_drawn_and_explained(
    small_bank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, words = small_bank.parent / "cruise1", tmp_path / "words.toml"
    words.write_bytes((folder / "contribution.toml").read_bytes())
    model = bundle.save(small_model(), tmp_path / "bundle")
    asked = ["--toml", words, "--proxy", "TOC", "--proxy", "CaCO3", "--plot", tmp_path / "p.svg"]
    pictures = [tmp_path / f"e-{proxy}.png" for proxy in ("TOC", "CaCO3")]
    out = tmp_path / "v.parquet"
    assert corebank("predict", model, folder, "--out", out, *asked, "--explain", tmp_path / "e.png") == 0
    written = "".join(f"; {path}" for path in (tmp_path / "p.svg", *pictures))
    assert capsys.readouterr().out.endswith(f"{written}\n")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    assert corebank("predict", model, folder, "--out", out, *asked[:4], "--explain", tmp_path / "e.csv") == 0
    explained = pd.read_csv(tmp_path / "e.csv")
    assert set(explained["proxy"]) == {"TOC"}
    assert explained["share"].between(0, 1).all()


def test_a_cluster_reads_what_threads_would(small_bank: Path, tmp_path: Path) -> None:
    model = bundle.save(small_model(), tmp_path / "bundle")
    source = f"{small_bank}::cruise1"
    one: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with LocalCluster(**one, host="127.0.0.1", protocol="tcp") as cluster:
        out = ["--out", tmp_path / "there.parquet", "--scheduler", cluster.scheduler_address]
        assert corebank("predict", model, source, *out) == 0
    assert corebank("predict", model, source, "--out", tmp_path / "here.parquet") == 0
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "there.parquet"), pd.read_parquet(tmp_path / "here.parquet")
    )


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle.save(quantifier(), tmp_path / "bundle")
    ds = spectra()
    ds["intensity"].values[5, 5] = -7
    predict.to_table(ds).to_csv(tmp_path / "spectra.csv", index=False)
    out = tmp_path / "values.csv"
    assert corebank("predict", tmp_path / "bundle", tmp_path / "spectra.csv", "--out", out) == 1
    assert "spectrum 5, bin 5: a rate of -7 count/s, which is negative" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "spectra.csv"]


def test_the_benchmark_goes_every_way_that_it_times(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(export, "RUN", 40)
    found = bench.rates(40, 1)
    assert list(found) == ["bare network", "bank to values", "bank to Parquet"]
    assert all(number > 0 for way in found.values() for number in way.values())
    assert bench.peak(30, tmp_path / "values.zarr") > 0
