"""What the documents say is true: their code runs, their links lead somewhere, and the reference is the code's own."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from corebank.contribution import metadata

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("catalog/*.md"),
        *ROOT.glob("training/*.md"),
        *ROOT.glob("registry/*.md"),
    ]
)
RUNNABLE = [page for page in PAGES if re.search(r"^```(bash|python)$", page.read_text(encoding="utf-8"), re.MULTILINE)]


def _names(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE, ids=_names(RUNNABLE))
def test_every_line_of_code_on_a_page_runs(page: Path, tmp_path: Path) -> None:
    """Shell blocks run in bash, Python blocks of one page share their names, in the order in which they stand."""
    for shown in ("catalog", "training", "registry"):
        shutil.copytree(ROOT / shown, tmp_path / shown)
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    said_so_far = ""
    for language, code in blocks:
        if language == "bash":
            command, text = ["bash", "-euo", "pipefail"], code
        else:
            # A fresh interpreter meets the page's earlier Python again, so that a later block may use its names.
            command, text = [sys.executable, "-"], said_so_far + code
            said_so_far += code
        done = subprocess.run(
            command, input=text, text=True, capture_output=True, cwd=tmp_path, env=environment, timeout=300, check=False
        )
        assert done.returncode == 0, f"{page.name}:\n{code}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=_names(PAGES))
def test_every_link_between_pages_leads_to_a_file(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", prose)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_contribution_toml_that_the_how_to_shows_is_a_valid_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "contribute.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "contribution.toml").write_text(shown, encoding="utf-8")
    words = metadata.read(tmp_path / "contribution.toml")
    assert [section.run for section in words.sections] == ["lp08-1c"]
    assert words.measurements[0].columns == {"TOC": ("TOC_pct", "wt%")}


def test_the_reference_pages_are_what_the_code_says_today() -> None:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs" / "make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    for name, content in reference.pages().items():
        page = ROOT / "docs" / "reference" / name
        assert page.read_text(encoding="utf-8").rstrip() == content.rstrip(), (
            f"run python docs/make_reference.py: {name} is out of date"
        )


def test_every_file_has_at_most_350_lines() -> None:
    files = [
        path
        for folder in ("corebank", "training", "registry", "tests", "docs")
        for path in (ROOT / folder).rglob("*.py")
    ]
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count > 350} == {}
