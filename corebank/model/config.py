"""Sizes of a network and the energy axis it reads, and what its settings tokens stand for."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from corebank.errors import RecipeError
from corebank.schema import EnergyGrid

SETTINGS: tuple[str, ...] = ("anode", "tube_voltage", "tube_current", "live_time", "filter", "head")
"""The columns of a settings tensor (B, S): atomic number, kV, mA, s, code of a name, code of a name; NaN = unknown."""

CODES = 64
"""Filters and heads are free text; their names share this many learned tokens, by hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Sizes of a network and the energy axis it reads; `PRESETS` holds the usual ones."""

    patch: int = 16
    """Energy bins in a token."""

    width: int = 768
    """Width of the encoder."""

    depth: int = 12
    """Blocks of the encoder."""

    heads: int = 12
    """Attention heads of the encoder."""

    decoder_width: int = 512
    """Width of the decoder."""

    decoder_depth: int = 8
    """Blocks of the decoder."""

    decoder_heads: int = 16
    """Attention heads of the decoder."""

    mlp_ratio: int = 4
    """Hidden width of a block's two-layer network, in widths."""

    bins: int = 2048
    """Bins of the energy axis."""

    energy_start: float = 0.0
    """Centre of the first bin [keV]."""

    energy_step: float = 0.02
    """Width of a bin [keV]."""

    settings: bool = True
    """Whether the machine settings enter as tokens."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "energy_start" and name != "settings" and not value > 0:
                raise RecipeError(f"model.{name}", f"is {value}", "Give a positive number")
        if self.bins % self.patch:
            raise RecipeError("model.patch", f"{self.bins} bins are no multiple of {self.patch}", "Give a divisor")
        for width, heads in (("width", "heads"), ("decoder_width", "decoder_heads")):
            if getattr(self, width) % (2 * getattr(self, heads)):
                raise RecipeError(
                    f"model.{width}",
                    f"{getattr(self, width)} is no multiple of twice its {getattr(self, heads)} heads",
                    f"Change {width} or {heads}",
                )

    @property
    def patches(self) -> int:
        """Patches of the whole energy axis."""
        return self.bins // self.patch

    @property
    def grid(self) -> EnergyGrid:
        """The energy axis of the spectra it reads."""
        return EnergyGrid(start=self.energy_start, step=self.energy_step, bins=self.bins)


PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig(width=128, depth=4, heads=4, decoder_width=64, decoder_depth=2, decoder_heads=4),
    "small": ModelConfig(width=384, depth=6, heads=6, decoder_width=192, decoder_depth=4, decoder_heads=6),
    "base": ModelConfig(),
    "large": ModelConfig(width=1024, depth=24, heads=16),
}
"""tiny: a CPU minute; base and large: the sizes of MAX."""
