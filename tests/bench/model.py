"""A training step beside that of a textbook's network, ingredient by ingredient: ``python -m tests.bench.model``.

A step is forward, backward, clipping and AdamW on one batch in memory; ways take turns in one run, and the figures are
spectra per second of the clock, the median over turns. The textbook's network (`tests.bench.textbook`) has the same
weights and hides the same patches.

- fully measured: every bin of 2048 of 20 eV.
- mixed machines: half of the spectra reach to 21 keV (Itrax, 2048 channels of 10.27 eV), a quarter to 10 keV and a
  quarter to 30 keV (Avaatech, two voltages). For the textbook what was not measured is zeros, and tokens like others;
  its loss counts hidden patches that were measured only, as ours does.

Equal loss per spectrum seen: both train on the same batches with the same noise, and the means of the last steps'
losses are printed. The spectra are synthetic: a falling background and some lines, counted by Poisson.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from corebank.model import PRESETS, SETTINGS, Chance, ModelConfig, SpectrumMAE
from corebank.normalize import Normalization
from tests.bench import textbook
from training.recipe import Optimiser
from training.schedule import adamw

MASKED = 0.5
REACH = ((0.5, 21.0), (0.25, 10.0), (0.25, 30.0))
"""Share of the spectra of a mixture, and how far they reach [keV]."""


@dataclass(frozen=True)
class Case:
    """What a step is done on."""

    size: str
    patch: int
    mixed: bool
    spectra: int

    @property
    def config(self) -> ModelConfig:
        """The preset, as published: without settings."""
        return replace(PRESETS[self.size], patch=self.patch, settings=False)

    def __str__(self) -> str:
        machines = "mixed machines" if self.mixed else "fully measured"
        return f"{self.size}, patch {self.patch}, {machines}, batches of {self.spectra}"


@dataclass(frozen=True)
class Way:
    """A way to do the step."""

    network: str = "ours"
    """ours or textbook."""

    half: bool = False
    """bfloat16 by automatic mixed precision."""

    fused: bool = True
    """AdamW as one kernel."""

    compiled: bool = False
    """Each block by torch.compile."""

    without: str = ""
    """An ingredient of ours that is left out, a key of `LEFT_OUT`."""


WAYS = {"textbook": Way(network="textbook"), "ours": Way(), "ours, bfloat16": Way(half=True)}

INGREDIENTS = {
    "all, bfloat16": Way(half=True),
    "attention by the fused kernel, in bfloat16 too": Way(half=True, without="attention"),
    "last blocks for every token": Way(half=True, without="last block"),
    "one padded part a batch": Way(half=True, without="parts"),
    "AdamW as a loop": Way(half=True, fused=False),
    "float32": Way(),
    "float32, attention written out": Way(without="fused attention"),
    "textbook, bfloat16": Way(network="textbook", half=True),
}


def whole(blocks: nn.ModuleList, tokens: Tensor, attend: Tensor | None, wanted: slice | None) -> Tensor:
    """Run every block for every token, and throw away afterwards."""
    for block in blocks:
        tokens = block(tokens, attend)
    return tokens if wanted is None else tokens[:, wanted]


def fused(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention by torch's kernel, whatever the precision."""
    return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def written_out(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Attention as two products, whatever the precision."""
    weights = q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)
    if mask is not None:
        weights = weights.masked_fill(~mask, -torch.inf)
    return weights.softmax(dim=-1) @ v


LEFT_OUT: dict[str, dict[str, Any]] = {
    "": {},
    "attention": {"corebank.model.layers.attention": fused},
    "fused attention": {"corebank.model.layers.attention": written_out},
    "last block": {"corebank.model.encoder.run": whole, "corebank.model.autoencoder.run": whole},
    "parts": {"corebank.model.alike.WORTH_A_CUT": 10**9},
}


def spectra(case: Case, batches: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Batches of normalised values (B, E), what was measured (B, E), and the noise (B, P) that hides patches."""
    random, grid = np.random.default_rng(0), case.config.grid
    energy, n = grid.centres, batches * case.spectra
    lines = np.exp(-0.5 * ((energy - random.uniform(1, 28, (14, 1))) / random.uniform(0.06, 0.16, (14, 1))) ** 2)
    rates = 30 * np.exp(-energy / 6) + random.gamma(0.6, 60, (n, 14)) @ lines
    counted = random.poisson(10 * rates).astype(np.float32) / 10
    if case.mixed:
        upper = random.permutation(np.repeat([reach for _, reach in REACH], [round(share * n) for share, _ in REACH]))
        counted[energy > upper[:, None]] = np.nan
    values, measured = (torch.from_numpy(one) for one in Normalization(kind="log")(counted))
    noise = torch.rand((n, case.config.patches), generator=torch.Generator().manual_seed(0))
    return list(zip(*(one.split(case.spectra) for one in (values, measured, noise)), strict=True))


class Trainer:
    """A network with its optimiser, done one way."""

    def __init__(self, case: Case, way: Way) -> None:
        torch.manual_seed(0)
        ours = SpectrumMAE(case.config)
        self.way, self.network = way, ours if way.network == "ours" else textbook.Autoencoder(case.config)
        self.network.load_state_dict(ours.state_dict())
        learning = [one for one in self.network.parameters() if one.requires_grad]
        self.optimiser = adamw({1e-3: learning}, Optimiser(rate=1e-3))
        for group in self.optimiser.param_groups:
            group["fused"] = way.fused
        if way.compiled:
            from torch._dynamo import config as dynamo  # half a second that nothing else needs

            dynamo.recompile_limit = 256  # a block is many graphs: with a mask, without, for some tokens only
            for block in (*ours.blocks, *ours.decoder_blocks):
                block.compile(dynamic=True)

    def loss(self, values: Tensor, measured: Tensor, noise: Tensor) -> Tensor:
        """The mean squared error of hidden patches."""
        if isinstance(self.network, SpectrumMAE):
            keep = torch.zeros((len(values), len(SETTINGS)), dtype=torch.bool)
            return self.network(values, measured, None, MASKED, Chance(noise, keep)).loss
        known = measured.reshape(*noise.shape, -1).all(-1)
        return self.network(values, MASKED, noise, known).loss

    def step(self, batch: tuple[Tensor, Tensor, Tensor]) -> float:
        """One step down; the loss before it."""
        with contextlib.ExitStack() as stack:
            for name, instead in LEFT_OUT[self.way.without].items():
                stack.enter_context(mock.patch(name, instead))
            stack.enter_context(torch.autocast("cpu", torch.bfloat16, enabled=self.way.half))
            loss = self.loss(*batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        return loss.item()


def rates(case: Case, ways: dict[str, Way], turns: int) -> dict[str, float]:
    """Way -> spectra per second, the median over `turns` after one to warm up."""
    trainers = {name: Trainer(case, way) for name, way in ways.items()}
    batches = spectra(case, 2)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, trainer in trainers.items():
            started = time.perf_counter()
            trainer.step(batches[turn % 2])
            if turn:
                took[name].append(time.perf_counter() - started)
    return {name: case.spectra / float(np.median(each)) for name, each in took.items()}


def curves(case: Case, steps: int) -> dict[str, list[float]]:
    """Way -> loss at each step, on the same batches with the same noise."""
    trainers = {name: Trainer(case, way) for name, way in WAYS.items()}
    batches = spectra(case, steps)
    return {name: [trainer.step(batch) for batch in batches] for name, trainer in trainers.items()}


def compiling(case: Case, turns: int) -> dict[str, float]:
    """Seconds of the first two steps of compiled blocks (the second may meet another length), and the rates after."""
    trainer, batches = Trainer(case, Way(half=True, compiled=True)), spectra(case, 2)
    started = time.perf_counter()
    for batch in batches:
        trainer.step(batch)
    found = {"seconds of the first two steps": time.perf_counter() - started}
    return found | rates(case, {"compiled, bfloat16": Way(half=True, compiled=True), **WAYS}, turns)


def table(*columns: str) -> str:
    """The head of a table in Markdown."""
    return f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def row(*cells: object) -> str:
    """A row of one."""
    return f"| {' | '.join(map(str, cells))} |"


def speeds(sizes: dict[str, int], patches: list[int], turns: int) -> Iterator[str]:
    """Every size, patch and kind of batch, every way."""
    yield table("spectra/s", *WAYS, "ours : textbook", "in bfloat16")
    for (size, batch), patch, mixed in itertools.product(sizes.items(), patches, (False, True)):
        case = Case(size, patch, mixed, batch)
        found = list(rates(case, WAYS, turns).values())
        ratios = (f"{one / found[0]:.2f}" for one in found[1:])
        yield row(case, *(f"{one:.0f}" for one in found), *ratios)


def losses(cases: list[tuple[Case, int]]) -> Iterator[str]:
    """The loss per spectrum seen, every way, after the given numbers of steps."""
    yield table("mean loss of the last tenth of the steps", "first loss", *WAYS, "largest difference of ours")
    for case, steps in cases:
        found = curves(case, steps)
        last = (f"{np.mean(one[-max(steps // 10, 1) :]):.4f}" for one in found.values())
        apart = np.abs(np.subtract(found["ours"], found["textbook"])).max()
        yield row(f"{case}, {steps} steps", f"{found['textbook'][0]:.4f}", *last, f"{apart:.1e}")


def ingredients(case: Case, turns: int) -> Iterator[str]:
    """What leaving out each ingredient costs."""
    yield table(f"left out: {case}", "spectra/s", "of all")
    found = rates(case, INGREDIENTS, turns)
    whole = found["all, bfloat16"]
    yield from (row(name, f"{one:.0f}", f"{one / whole:.2f}") for name, one in found.items())


def widths(batch: int, turns: int) -> Iterator[str]:
    """Sizes of batches, and widths of patches."""
    yield table("tiny, fully measured, bfloat16", "spectra/s")
    for patch, many in ((16, batch // 4), (16, batch), (16, 4 * batch), (32, batch), (64, batch)):
        case = Case("tiny", patch, False, max(many, 1))
        yield row(case, f"{rates(case, {'ours': Way(half=True)}, turns)['ours']:.0f}")


def report(sizes: dict[str, int], patches: list[int], turns: int, steps: int, *, compiled: bool) -> Iterator[str]:
    """The lines of the report; `sizes` gives each preset's batch."""
    yield f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    yield from speeds(sizes, patches, turns)
    yield from losses(
        [
            (Case(size, patches[-1] if mixed else patches[0], mixed, batch), steps if size == "tiny" else steps // 3)
            for (size, batch), mixed in itertools.product(sizes.items(), (False, True))
        ]
    )
    for size, batch in sizes.items():
        yield from ingredients(Case(size, patches[0], True, batch), turns)
    yield from widths(next(iter(sizes.values())), max(turns - 1, 1))
    for mixed in (False, True) if compiled else ():
        case = Case(next(iter(sizes)), patches[0], mixed, next(iter(sizes.values())))
        yield table(f"blocks compiled: {case}", "")
        yield from (row(name, f"{one:.0f}") for name, one in compiling(case, turns).items())


def main(arguments: list[str] | None = None, say: Callable[[str], None] = print) -> None:
    """Print the report, line by line as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs=2, default=(64, 24), help="spectra in a batch: tiny, small")
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small"])
    parser.add_argument("--patches", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--compile", action="store_true", help="compile the blocks too, which takes minutes")
    said = parser.parse_args(arguments)
    sizes = {name: batch for name, batch in zip(("tiny", "small"), said.batches, strict=True) if name in said.sizes}
    for line in report(sizes, said.patches, said.turns, said.steps, compiled=said.compile):
        say(line)


if __name__ == "__main__":
    main()
