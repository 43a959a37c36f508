"""``steps.csv`` over kills and resumes: no line is lost on the way, and a line that is missing is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.steplog import NAME, Step, StepLog, read

STEPS = [Step(one + 1, 1 + one // 3, 0.1 * one + 1e-17, 1e-3 / (one + 1), 1 / 3) for one in range(9)]


def logged(folder: Path, steps: list[Step], done: int = 0) -> list[Step]:
    """The log of a run that went on after `done` steps, and took these."""
    with StepLog(folder, done) as log:
        for step in steps:
            log.add(step)
    return read(folder)


@given(st.lists(st.tuples(st.integers(1, len(STEPS)), st.integers(0, 3)), max_size=4))
def test_a_run_killed_and_resumed_any_number_of_times_has_the_log_of_an_unbroken_one(
    tmp_path_factory: pytest.TempPathFactory, kills: list[tuple[int, int]]
) -> None:
    """Killed after so many steps, so many of them since its checkpoint."""
    folder = tmp_path_factory.mktemp("run")
    done = 0
    for end, lost in sorted(kills):
        logged(folder, STEPS[done:end], done)
        done = max(done, end - lost)
    assert logged(folder, STEPS[done:], done) == STEPS


def test_a_run_that_is_killed_while_it_takes_up_its_log_loses_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the last moment before the new file is in the place of the old one: what it leaves behind does no harm."""
    logged(tmp_path, STEPS[:6])

    def killed(*_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            StepLog(tmp_path, 6)
    assert read(tmp_path) == STEPS[:6]
    (left,) = (one for one in tmp_path.iterdir() if one.name != NAME)
    left.write_text("step,epoch,loss,rate,gradient\n1,1,7,7,7\n2,1")  # or killed earlier: half a file
    assert logged(tmp_path, STEPS[6:], 6) == STEPS
    assert [one.name for one in tmp_path.iterdir()] == [NAME]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (STEPS[:4], "2 of the 6 steps before the checkpoint are missing, the first is 5, the last 6"),
        ([*STEPS[:2], *STEPS[4:8]], "2 of the 6 steps before the checkpoint are missing, the first is 3, the last 4"),
        ([], "6 of the 6 steps before the checkpoint are missing, the first is 1, the last 6"),
    ],
    ids=["at the end", "in the middle", "all"],
)
def test_a_log_that_lacks_steps_of_the_checkpoint_goes_on_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], held: list[Step], found: str
) -> None:
    if held:
        logged(tmp_path, held)
    after = logged(tmp_path, STEPS[6:], 6)
    assert after == [*(one for one in held if one.step <= 6), *STEPS[6:]]
    assert f"corebank: {tmp_path / NAME}: {found}" in capsys.readouterr().err


def test_a_process_that_leaves_the_log_to_another_touches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StepLog(tmp_path, 6, write=False) as log:
        log.add(STEPS[6])
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""
