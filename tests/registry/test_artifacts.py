"""What a version is made of: no byte of it is pickled, and loading it unpickles nothing and needs no checkout."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from corebank import bundle, hub, predict
from corebank.hub import served
from tests.registry.models import foundation, quantifier, spectra

Write = Callable[[bundle.Bundle], Path]

LOAD = '''
import importlib.abc, json, pickle, sys

class Checkout(importlib.abc.MetaPathFinder):
    """Whoever loads a model has installed corebank, and has no checkout."""
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("training", "registry", "tests", "sklearn"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Checkout())
uri, mine, table = sys.argv[1:4]
sys.path[:] = [place for place in sys.path if place not in ("", ".")] + [mine]
import mlflow.pyfunc, torch, pandas as pd
import corebank.hub, corebank.predict  # what they unpickle when they are imported is their affair

unpickled = []
sys.addaudithook(lambda event, args: unpickled.append([event, *map(str, args)]) if event == "pickle.find_class" else 0)

def refuse(*_, **__):
    raise AssertionError("unpickled")

torch.load = pickle.load = pickle.loads = refuse
model = mlflow.pyfunc.load_model(uri)
values = model.predict(pd.read_csv(table))
print(json.dumps({"unpickled": unpickled, "first": values["CaCO3"].iloc[0], "cuda": torch.cuda.is_initialized()}))
'''


def is_pickled(raw: bytes) -> bool:
    """Whether bytes are a pickle of any protocol, what torch.save or numpy writes, or an archive that may hold one."""
    import pickletools

    if zipfile.is_zipfile(io.BytesIO(raw)) or raw[:2] in (b"\x1f\x8b", b"\x93N", b"BZ"):
        return True
    try:
        operations = [operation.name for operation, *_ in pickletools.genops(raw)]
    except Exception:  # whatever it stumbles on: it is no pickle
        return False
    return operations[-1:] == ["STOP"] and len(operations) > 2


def test_the_scan_knows_a_pickle_when_it_sees_one(tmp_path: Path) -> None:
    import pickle

    import torch

    torch.save({"a": torch.zeros(2)}, tmp_path / "new.pt")
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    np.save(tmp_path / "array.npy", np.zeros(3))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / f"{protocol}.json").write_bytes(pickle.dumps({"a": [1, 2]}, protocol))
    assert all(is_pickled(path.read_bytes()) for path in tmp_path.iterdir())
    bundle.save(quantifier(), tmp_path / "bundle")
    assert not any(is_pickled(path.read_bytes()) for path in (tmp_path / "bundle").iterdir())


@pytest.mark.parametrize("made", [quantifier(seed=31), foundation(seed=31)], ids=["quantifier", "foundation"])
def test_no_file_of_a_registered_model_is_pickled(store: Path, run: Write, tmp_path: Path, made: bundle.Bundle) -> None:
    folder = run(made)
    (folder / "bundle" / "weights.pt").write_bytes(b"\x80\x04.")  # lies there, and stays there
    uri = hub.register(folder, f"scanned-{made.kind}")
    stored = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "stored")))
    files = {path.relative_to(stored).as_posix(): path for path in stored.rglob("*") if path.is_file()}
    assert {name for name in files if name.startswith("artifacts/")} == {
        "artifacts/bundle/bundle.json",
        "artifacts/bundle/model.safetensors",
    }
    assert [name for name in files if name.endswith(".py")] == ["corebank_model.py"]
    assert files["corebank_model.py"].read_text() == served.CODE
    assert [name for name, path in files.items() if is_pickled(path.read_bytes())] == []
    flavour = mlflow.models.Model.load(str(stored)).flavors["python_function"]
    assert Path(flavour["model_code_path"]).name == "corebank_model.py"
    assert not flavour.keys() & {"python_model", "data"}  # where MLflow says which file is to be unpickled


def test_a_model_loads_on_a_machine_without_checkout_and_unpickles_nothing(
    store: Path, run: Write, tmp_path: Path
) -> None:
    made = quantifier(seed=32)
    uri = hub.register(run(made), "loaded")
    ds = spectra(3)
    predict.to_table(ds).to_csv(tmp_path / "spectra.csv", index=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "load.py").write_text(LOAD)
    # corebank alone is taken from the checkout, as if it were installed; training and registry are not to be had.
    (elsewhere / "corebank").symlink_to(Path(bundle.__file__).parent, target_is_directory=True)
    done = subprocess.run(
        [sys.executable, "-P", "load.py", uri, str(elsewhere), str(tmp_path / "spectra.csv")],
        cwd=elsewhere,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["unpickled"] == []
    assert told["cuda"] is False
    assert told["first"] == pytest.approx(predict.quantify(made, ds)["CaCO3"].iloc[0], rel=1e-6)


def test_a_model_that_cannot_predict_is_not_registered(
    store: Path, run: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> pd.DataFrame:
        raise ValueError("no such bin")

    monkeypatch.setattr(predict, "quantify", broken)
    with pytest.raises(ValueError, match="no such bin"):
        hub.register(run(quantifier(seed=34)), "untried")
    assert hub.versions("untried") == []


def test_a_model_tells_mlflow_what_comes_out_and_shows_what_goes_in(store: Path, run: Write) -> None:
    made = quantifier(seed=33)
    model = mlflow.pyfunc.load_model(hub.register(run(made), "signed"))
    values = model.predict(model.input_example)
    outputs = model.metadata.get_output_schema()
    assert outputs.input_names() == list(values)
    kinds = {column.name: column.type.name for column in outputs.inputs}
    assert (kinds["CaCO3_lower"], kinds["outlier_score"], kinds["TOC_unit"]) == ("double", "double", "string")
    assert model.metadata.get_input_schema() is None  # with one, MLflow refuses a Dataset
    assert len(values) == 2
    ds = spectra(4)
    pd.testing.assert_frame_equal(model.predict(ds), predict.quantify(made, ds), rtol=1e-6)


@pytest.mark.parametrize("machines", [(), ("unheard of",), ("Rh 10 kV", "Mo 30 kV")])
def test_an_example_is_a_table_that_the_model_reads(machines: tuple[str, ...]) -> None:
    from dataclasses import replace

    made = quantifier()
    made = replace(made, lineage=replace(made.lineage, machines=machines))
    example = served.example(made)
    assert example is not None
    assert len(predict.quantify(made, example)) == 2
