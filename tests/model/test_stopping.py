"""What ends a run early: a probe without progress, a loss that runs away, SIGTERM; precision, and the log of steps."""

from __future__ import annotations

import math
import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corebank.errors import TrainingError
from training.precision import Arithmetic, choose
from training.recipe import Optimiser
from training.schedule import adamw
from training.steplog import Step, StepLog, read
from training.stopping import BEGINNING, FAR, SKIPPED, WINDOW, Patience, Watch, sigterm


def watched(losses: list[float], norms: list[float] | None = None) -> Watch:
    watch = Watch()
    for step, loss in enumerate(losses):
        watch.look(step, loss, norms[step] if norms else 1.0, 1e-3)
    return watch


@given(st.lists(st.floats(0.5, 0.5 * FAR), min_size=1, max_size=200))
@settings(deadline=None)
def test_a_loss_that_stays_within_the_limit_is_left_alone(losses: list[float]) -> None:
    watched([0.5] * BEGINNING + losses)


@given(st.integers(0, WINDOW // 2 - 1), st.integers(0, 50))
@settings(deadline=None)
def test_bad_batches_fewer_than_half_of_a_window_do_no_harm(bad: int, before: int) -> None:
    watched([1.0] * (WINDOW + before) + [1e6] * bad + [1.0] * WINDOW)


def test_a_run_that_diverges_ends_with_step_loss_rate_and_what_to_do() -> None:
    rising = [0.1] * WINDOW + [0.1 * 1.2**step for step in range(200)]
    with pytest.raises(TrainingError) as refused:
        watched(rising)
    told = str(refused.value)
    assert "step " in told
    assert "training diverged: the loss is" in told
    assert "times what it was at the beginning, at a learning rate of 0.001" in told
    assert "lower optimiser.rate" in told


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run_at_once(loss: float) -> None:
    with pytest.raises(TrainingError, match=f"step 3: training diverged: the loss is {loss}"):
        watched([1.0, 1.0, loss])


def test_gradients_that_overflow_are_borne_for_a_while_and_a_finite_one_starts_anew() -> None:
    nearly = [math.inf] * (SKIPPED - 1)
    watch = watched([1.0] * (2 * SKIPPED), [*nearly, 1.0, *nearly, 1.0])
    assert watch.sound
    with pytest.raises(TrainingError, match=f"no finite gradient for {SKIPPED} steps; the loss is 1"):
        watched([1.0] * SKIPPED, [*nearly, math.nan])


def test_no_checkpoint_is_good_while_the_loss_is_on_its_way_up() -> None:
    assert watched([1.0] * WINDOW).sound
    assert not watched([1.0] * WINDOW + [FAR * 0.8] * WINDOW).sound
    assert not watched([1.0], [math.nan]).sound


@given(st.lists(st.tuples(st.floats(0.1, 20), st.sampled_from([1.0, math.inf])), max_size=120), st.integers(0, 120))
@settings(deadline=None)
def test_a_resumed_watch_ends_where_an_unbroken_one_does(seen: list[tuple[float, float]], cut: int) -> None:
    def last(watch: Watch, first: int, steps: list[tuple[float, float]]) -> int:
        for step, (loss, norm) in enumerate(steps, start=first):
            try:
                watch.look(step, loss, norm, 1e-3)
            except TrainingError:
                return step
        return -1

    unbroken, whole = Watch(), last(Watch(), 0, seen)
    if last(unbroken, 0, seen[:cut]) >= 0:
        return
    assert last(Watch(unbroken.state()), len(seen[:cut]), seen[cut:]) == whole


@given(st.lists(st.floats(0.1, 2), min_size=1, max_size=20), st.integers(1, 4), st.integers(0, 20))
@settings(deadline=None, max_examples=50)
def test_the_weights_kept_are_those_of_the_best_look_and_survive_a_resume(
    errors: list[float], looks: int, cut: int
) -> None:
    network = torch.nn.Linear(1, 1)
    patience = Patience(looks)
    for epoch, error in enumerate(errors, start=1):
        if epoch == cut:
            patience = Patience(looks, patience.state(), patience.weights)
        torch.nn.init.constant_(network.weight, epoch)
        patience.look(epoch, error, network)
        waited = epoch - patience.epoch
        assert patience.spent == (waited >= looks)
    assert patience.epoch == 1 + errors.index(min(errors))
    assert patience.weights["weight"].item() == patience.epoch


def test_sigterm_only_asks_inside_the_block_and_elsewhere_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with sigterm() as leaving:
        assert not leaving
        os.kill(os.getpid(), signal.SIGTERM)
        assert leaving
    assert signal.getsignal(signal.SIGTERM) == before
    said: list[bool] = []

    def elsewhere() -> None:
        with sigterm() as asked:
            said.append(bool(asked))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert said == [False]


def test_the_log_of_steps_reads_back_to_the_same_bits_and_drops_what_the_checkpoint_has_not(tmp_path: Path) -> None:
    steps = [Step(one + 1, 1, 0.1 * one + 1e-17, 1e-3 / (one + 1), 1 / 3) for one in range(5)]
    with StepLog(tmp_path, 0) as log:
        for step in steps:
            log.add(step)
    assert read(tmp_path) == steps
    with (tmp_path / "steps.csv").open("a") as file:
        file.write("6,1,0.2")  # killed in the middle of a line
    assert read(tmp_path) == steps
    with StepLog(tmp_path, 3) as log:
        log.add(steps[3])
    assert read(tmp_path) == steps[:4]
    with StepLog(tmp_path, 0, write=False) as silent:
        silent.add(steps[0])
    assert read(tmp_path) == steps[:4]


def small(precision: str) -> tuple[torch.nn.Linear, torch.optim.AdamW, Arithmetic]:
    torch.manual_seed(0)
    network = torch.nn.Linear(8, 8)
    return network, adamw({1e-2: network.parameters()}, Optimiser()), Arithmetic(precision, torch.device("cpu"))  # type: ignore[arg-type]  # a test's text


@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", torch.bfloat16), ("float16", torch.float16)])
def test_half_precision_is_for_the_arithmetic_and_never_for_the_weights(precision: str, dtype: torch.dtype) -> None:
    network, optimiser, arithmetic = small(precision)
    before = network.weight.detach().clone()
    with arithmetic.cast():
        said = network(torch.ones(2, 8))
    assert said.dtype is dtype
    arithmetic.backward(said.float().square().mean())
    norm = arithmetic.step(network, optimiser, 1e-3)
    assert network.weight.dtype is torch.float32
    assert not torch.equal(network.weight, before)
    exact, _, plain = small("float32")
    with plain.cast():
        plain.backward(exact(torch.ones(2, 8)).square().mean())
    wanted = torch.nn.utils.clip_grad_norm_(exact.parameters(), 1.0)
    assert norm == pytest.approx(float(wanted), rel=0.02)  # unscaled before it is measured and clipped


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_gradient_that_is_not_finite_changes_no_weight(precision: str) -> None:
    network, optimiser, arithmetic = small(precision)
    before = network.weight.detach().clone()
    arithmetic.backward(network(torch.full((1, 8), torch.inf)).sum())
    assert not math.isfinite(arithmetic.step(network, optimiser, 1.0))
    assert torch.equal(network.weight, before)
    scale = arithmetic.state().get("scale")
    assert scale == (2**15 if precision == "float16" else None)
    again = small(precision)[2]
    again.restore(arithmetic.state())
    assert again.state() == arithmetic.state()


def test_a_processor_computes_in_single_precision_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose("auto", torch.device("cpu")) == "float32"
    assert choose("bfloat16", torch.device("cpu")) == "bfloat16"
    for has, wanted in ((True, "bfloat16"), (False, "float16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert choose("auto", torch.device("cuda")) == wanted
