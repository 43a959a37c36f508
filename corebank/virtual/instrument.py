"""The virtual scanners: what is bolted together, and how each is set for a run.

Optical and electronic constants that makers do not publish (path lengths, dead-time constants, share of tungsten on an
old anode) were chosen so that mean virtual spectra lie on mean real ones: docs/explanation/virtual-scanner.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from corebank.errors import RecipeError

KINDS = ("itrax", "avaatech")
"""Scanner families whose files the virtual scanner can write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One scanner head with one setting; every field is a number that the physics needs or that a raw file states."""

    kind: str
    """Family of scanner, which decides the file format: itrax or avaatech."""
    model: str
    """Maker's model name, as a person would write it."""
    head: str = "A"
    """Measuring head or detector unit."""
    anode: str
    """Element symbol of the tube's anode."""
    tube_voltage: float
    """Tube voltage [kV]."""
    tube_current: float
    """Tube current [mA]."""
    exposure: float
    """Time per spectrum [s]: real time of an Itrax, live time of an Avaatech, as their operators set it."""
    channels: int
    """Number of detector channels."""
    gain: float
    """Energy width of a channel [keV]."""
    offset: float
    """Energy at the centre of the first channel [keV]."""
    noise: float
    """Electronic noise of the detector, as full width at half maximum [keV]."""
    incidence: float
    """Angle between the primary beam and the surface [degree]."""
    take_off: float
    """Angle between the detector's view and the surface [degree]; beam and view lie in one plane, on either side."""
    throughput: float
    """Solid angles of beam and detector times the beam optics' transmission [sr^2]; sets the total counts."""
    air_in: float
    """Path of the primary beam through gas [cm]."""
    air_out: float
    """Path from the surface to the detector through gas [cm]."""
    air_seen: float
    """Length of the beam in gas that the detector sees: gives argon its line [cm]."""
    helium: float = 0.0
    """Share of helium in that gas, the rest is air."""
    foil: float = 0.0
    """Polypropylene foil on the sediment [um]."""
    water_film: float = 0.0
    """Median film of water between foil and sediment [um]."""
    filter: str = "none"
    """Primary filter, as labs write it; only 'none' is modelled."""
    anode_angle: float = 20.0
    """Angle between the anode's surface and the beam [degree]; a grazing beam has lost soft photons in the anode."""
    tube_window: float = 125.0
    """Beryllium window of the tube [um]."""
    optics_cutoff: float = np.inf
    """Energy above which the capillary that guides the beam loses half [keV]; infinite without a capillary."""
    tungsten: float = 0.0
    """Tungsten on the anode, evaporated from the cathode of an old tube, as a share of the anode."""
    detector_window: float = 12.5
    """Beryllium window of the detector [um]."""
    detector_silicon: float = 0.45
    """Thickness of the detector crystal [mm]."""
    shelf: float = 0.01
    """Share of events that lose part of their charge anywhere between all and nothing."""
    tail: float = 0.01
    """Share of events that lose a little of their charge, and make the low-energy tail of each line."""
    discriminator: float
    """Energy below which the pulse processor does not trigger [keV]."""
    discriminator_width: float = 0.03
    """Energy over which the trigger rises from few to most [keV]."""
    blind_channels: int = 30
    """First channels that the electronics keeps at zero."""
    blind_last: int = 0
    """Last channels that the electronics keeps at zero."""
    dead_share: float = 0.0
    """Share of the real time that is dead at any rate."""
    dead_time: float
    """Time for which each event closes the detector's clock [us]."""
    pile_up_time: float
    """Time within which two events are taken for one [us]."""
    loss_time: float = 0.0
    """Time by which each event spoils its neighbours although the live clock runs, as in the Itrax of 2008 [us]."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise RecipeError("Instrument.kind", f"'{self.kind}' is unknown", f"Use one of {', '.join(KINDS)}")
        if self.filter != "none":
            raise RecipeError("Instrument.filter", f"filter '{self.filter}' is not modelled", "Use 'none'")
        for name in ("tube_voltage", "tube_current", "exposure", "channels", "gain", "noise", "throughput"):
            if not (value := getattr(self, name)) > 0:
                raise RecipeError(f"Instrument.{name}", f"{value} is not positive", "Give a positive number")

    @property
    def energies(self) -> np.ndarray:
        """Energies of the channel centres, (channels,) float64 [keV]."""
        return self.offset + self.gain * np.arange(self.channels)

    @property
    def scattering_angle(self) -> float:
        """Angle by which a photon of the beam turns on its way to the detector [rad]."""
        return float(np.deg2rad(self.incidence + self.take_off))


_ITRAX_2020 = Instrument(
    kind="itrax",
    model="virtual Itrax",
    anode="Mo",
    tube_voltage=30,
    tube_current=30,
    exposure=15,
    channels=2048,
    gain=0.010267,
    offset=-0.009931,
    noise=0.055,
    incidence=90,
    take_off=45,
    throughput=1.6e-6,
    anode_angle=2.2,
    tube_window=300,
    tungsten=0.2,
    air_in=9,
    air_out=0.9,
    air_seen=0.2,
    optics_cutoff=24,
    shelf=0.01,
    discriminator=0.58,
    blind_last=1,
    dead_share=0.0998,
    dead_time=0.24,
    pile_up_time=0.1,
)

INSTRUMENTS: dict[str, Instrument] = {
    "itrax-mo-2020": _ITRAX_2020,
    "itrax-mo-2020-b": replace(
        _ITRAX_2020, head="B", gain=0.010301, offset=-0.0042, noise=0.075, tungsten=0.02, throughput=1.3e-6
    ),
    "itrax-cr-2020": replace(_ITRAX_2020, head="C", anode="Cr", tube_current=50),
    "itrax-mo-2008": replace(
        _ITRAX_2020,
        head="2008",
        tube_current=50,
        exposure=10,
        channels=1024,
        gain=0.018305,
        offset=-0.003173,
        noise=0.081,
        tungsten=0.0,
        throughput=4.2e-7,
        anode_angle=0.9,
        air_out=3,
        optics_cutoff=28,
        detector_window=50,
        discriminator=1.0,
        discriminator_width=0.1,
        blind_last=0,
        dead_share=0.0,
        dead_time=0.9,
        loss_time=8.0,
    ),
    "avaatech-rh-10kv": Instrument(
        kind="avaatech",
        model="virtual Avaatech",
        anode="Rh",
        tube_voltage=10,
        tube_current=0.15,
        exposure=10,
        channels=2048,
        gain=0.02,
        offset=0.0,
        noise=0.165,
        incidence=45,
        take_off=45,
        throughput=4e-3,
        anode_angle=9,
        air_in=1,
        air_out=1,
        air_seen=1,
        helium=0.85,
        foil=4,
        water_film=8,
        detector_window=25,
        shelf=0.02,
        tail=0.04,
        discriminator=1.18,
        discriminator_width=0.14,
        blind_channels=24,
        dead_time=6.7,
        pile_up_time=0.15,
    ),
}
"""Settings like those of real scanners: CD166/19 (BOSCORF 2020), Ardley Lake (2008), the 10 kV corpus of MAX."""
