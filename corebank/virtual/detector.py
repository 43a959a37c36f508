"""From photons at the detector to counts in channels: efficiency, resolution, escape, pile-up, dead time.

A photon's energy is first *deposited* on the channel axis (all of it, or less its escaped silicon photon, or any part
of it where charge is lost), then blurred. Both are matrices, made once per instrument.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from corebank.virtual import physics
from corebank.virtual.instrument import Instrument

PAIR, FANO = 3.65e-3, 0.12
"""Energy per electron-hole pair in silicon [keV], and its Fano factor (Knoll, Radiation Detection, table 13.1)."""
BERYLLIUM_DENSITY, SILICON_DENSITY = 1.848, 2.33
"""Densities [g/cm3]."""
BEYOND = 0.6
"""How far above the last channel photons may lie whose blurred pulses still fall into it [keV]."""
TAIL_LENGTH = 0.12
"""Energy over which the low-energy tail of a line falls to 1/e [keV]."""
PARTIAL = 1.0
"""Pile-ups that overlap only in part, per pile-up that adds up in full."""


class Exposed(NamedTuple):
    """What a run of exposures gives: expected counts (n, channels), and (n,) clocks [s] and rates [1/s]."""

    counts: np.ndarray
    live_time: np.ndarray
    real_time: np.ndarray
    input_rate: np.ndarray
    output_rate: np.ndarray


def fwhm(instrument: Instrument, energies: np.ndarray) -> np.ndarray:
    """Full width at half maximum of a line, the shape of `energies` [keV]."""
    return np.asarray(np.sqrt(instrument.noise**2 + 2.355**2 * PAIR * FANO * np.maximum(energies, 0)))


def efficiency(instrument: Instrument, energies: np.ndarray) -> np.ndarray:
    """Share of photons that pass the beryllium window and stop in the silicon, (energies,) float64."""
    window = physics.transmission({"Be": 1.0}, instrument.detector_window * 1e-4 * BERYLLIUM_DENSITY, energies)
    through = physics.transmission({"Si": 1.0}, instrument.detector_silicon * 0.1 * SILICON_DENSITY, energies)
    return np.asarray(window * (1 - through))


def deposit_axis(instrument: Instrument) -> np.ndarray:
    """Energies of the channels on which energy is deposited [keV]: the instrument's and some above its last."""
    return instrument.offset + instrument.gain * np.arange(instrument.channels + round(BEYOND / instrument.gain))


def blur(instrument: Instrument) -> np.ndarray:
    """Resolution and discriminator: (channels deposited, channels counted) float64, rows sum to the share counted."""
    deposited, counted = deposit_axis(instrument), instrument.energies
    sigma = fwhm(instrument, deposited)[:, None] / 2.355
    matrix = np.exp(-0.5 * ((counted[None, :] - deposited[:, None]) / sigma) ** 2)
    matrix *= instrument.gain / (sigma * np.sqrt(2 * np.pi))
    trigger = 1 / (1 + np.exp(-(counted - instrument.discriminator) / instrument.discriminator_width))
    trigger[: instrument.blind_channels] = 0
    trigger[instrument.channels - instrument.blind_last :] = 0
    return np.asarray(matrix * trigger)


def deposits(instrument: Instrument, energies: np.ndarray) -> np.ndarray:
    """Where photons of sharp `energies` leave theirs, (energies, deposit axis) float64; rows sum to the efficiency."""
    axis, caught = deposit_axis(instrument), efficiency(instrument, energies)
    escape = physics.silicon_escape(energies)
    out = np.zeros((len(energies), len(axis)))
    for row, (energy, share, lost) in enumerate(zip(energies, caught, escape, strict=True)):
        below = (axis > 0) & (axis < energy)
        whole = 1 - lost - instrument.shelf - instrument.tail
        _place(out[row], (energy - instrument.offset) / instrument.gain, share * whole)
        _place(out[row], (energy - physics.SILICON_K - instrument.offset) / instrument.gain, share * lost)
        tail = instrument.tail / TAIL_LENGTH * np.exp((axis[below] - energy) / TAIL_LENGTH)
        out[row, below] += share * instrument.gain * (instrument.shelf / energy + tail)
    return np.asarray(out + _recoils(instrument, energies))


def expose(rates: np.ndarray, instrument: Instrument) -> Exposed:
    """Count for one exposure what comes at `rates` (n, channels) [events/s].

    Pulses that fall together are counted once, at their summed energy or, where they overlap in part, between that and
    the larger one. Clocks follow what the two families of scanners write: an Itrax runs for a real time, an Avaatech
    for a live time.
    """
    total = rates.sum(axis=1)
    if instrument.kind == "itrax":
        real = np.full_like(total, instrument.exposure)
        live = real * np.maximum(1 - instrument.dead_share - total * instrument.dead_time * 1e-6, 0.05)
    else:
        live = np.full_like(total, instrument.exposure)
        real = live * (1 + total * instrument.dead_time * 1e-6) / (1 - instrument.dead_share)
    counts = _pile_up(rates, instrument) * (live * np.exp(-total * instrument.loss_time * 1e-6))[:, None]
    return Exposed(counts, live, real, total, counts.sum(axis=1) / real)


def _pile_up(rates: np.ndarray, instrument: Instrument) -> np.ndarray:
    """Rates (n, channels) after pile-up: a share leaves each channel, half as many events arrive at summed energies."""
    channels = rates.shape[1]
    window = instrument.pile_up_time * 1e-6
    zero = round(-instrument.offset / instrument.gain)  # two channels sum to i + j - zero
    partners = np.maximum(np.arange(channels) - zero, 1)
    # A pulse of j channels that overlaps in part adds anything from 0 to j channels, each equally likely.
    part = np.cumsum((rates / partners)[:, ::-1], axis=1)[:, ::-1]
    size = 2 * channels
    first = np.fft.rfft(rates, size)
    full = np.fft.irfft(first * first, size)[:, zero : zero + channels]
    partial = np.fft.irfft(first * np.fft.rfft(np.roll(part, -zero, axis=1), size), size)[:, :channels]
    lost = rates * rates.sum(axis=1, keepdims=True) * (1 + PARTIAL) * 2
    counted = np.maximum(rates + window * (full + PARTIAL * partial - lost), 0)
    counted[:, : instrument.blind_channels] = 0
    counted[:, channels - instrument.blind_last :] = 0
    return np.asarray(counted)


def _recoils(instrument: Instrument, energies: np.ndarray) -> np.ndarray:
    """Photons that only bounce off an electron of the crystal and leave: a hump that ends near 1 keV."""
    mass = instrument.detector_silicon * 0.1 * SILICON_DENSITY
    out_again = physics.transmission({"Si": 1.0}, mass, energies)  # most leave aslant
    out = np.zeros((len(energies), len(deposit_axis(instrument))))
    for degrees in range(15, 180, 15):
        angle = np.deg2rad(degrees)
        solid_angle = 2 * np.pi * np.sin(angle) * np.deg2rad(15)
        share = physics.compton(["Si"], energies, angle)[0] * solid_angle * mass * out_again
        recoil = energies - physics.compton_energy(energies, angle)
        for row, (energy, weight) in enumerate(zip(recoil, share, strict=True)):
            _place(out[row], (energy - instrument.offset) / instrument.gain, weight)
    return out


def _place(row: np.ndarray, channel: float, weight: float) -> None:
    """Add `weight` at a fractional channel, split between its two neighbours; nothing where it lies off the axis."""
    low = int(np.floor(channel))
    for index, share in ((low, 1 - (channel - low)), (low + 1, channel - low)):
        if 0 <= index < len(row):
            row[index] += weight * share
