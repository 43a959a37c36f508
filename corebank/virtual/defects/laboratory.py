"""Defects of the laboratory's table: cells, rows, columns, and depths that are all off."""

from __future__ import annotations

import numpy as np

from corebank.virtual.defects.folder import LABORATORY, Folder
from corebank.virtual.defects.planted import Truth, defect
from corebank.virtual.defects.tables import Sheet

NO_NUMBER = ("b.d.l.", "<LOD", "<0.05", "ND", "n.a.", "")
"""What laboratories write where they have no number."""
BROKEN = ("#REF!", "#DIV/0!", "#VALUE!", "#N/A")
"""What spreadsheets write where they lost one."""
SHIFTS = (-20, -15, -10, -5, 5, 10, 15, 20)
"""Systematic errors of depth [mm]; 5 mm is the case met in public archives."""


def _cells(folder: Folder, rng: np.random.Generator, texts: tuple[str, ...], most: int = 4) -> Truth:
    """Set one to `most` cells of values to one of `texts` each."""
    sheet, cells = Sheet(folder), []
    for row in sheet.take(rng, int(rng.integers(1, most + 1))):
        column = str(rng.choice(sheet.proxies))
        cells.append((sheet.put(row, column, str(rng.choice(texts))), row, column))
    sheet.save()
    written = ", ".join(f"{sheet.get(row, column)!r}" for _, row, column in cells)
    names = tuple(name for name, _, _ in cells)
    return Truth(names[0], f"{written} in {len(names)} cells", names, (LABORATORY, *names))


@defect("no-number", "Cells that say below detection, not determined, or nothing")
def no_number(folder: Folder, rng: np.random.Generator) -> Truth:
    truth = _cells(folder, rng, NO_NUMBER)
    sheet = Sheet(folder)
    # Empty cells are the rule in tables of several methods: their column is to be named, and how many there are.
    empty = {
        sheet.cell(row, column)
        for row in range(len(sheet.rows))
        for column in sheet.proxies
        if not sheet.get(row, column)
    }
    columns = tuple(f"{LABORATORY}, column {column}" for column in sheet.proxies)
    named = tuple(name for name in truth.items if name not in empty)
    return truth._replace(items=named, also=(*truth.also, *columns), partners=(*truth.items, *columns))


@defect("broken-cell", "Cells that hold the error of a spreadsheet")
def broken_cell(folder: Folder, rng: np.random.Generator) -> Truth:
    return _cells(folder, rng, BROKEN)


@defect("out-of-range", "A share above a hundred: a decimal point lost")
def out_of_range(folder: Folder, rng: np.random.Generator) -> Truth:
    return _cells(folder, rng, tuple(f"{value}" for value in rng.integers(111, 6000, 8)), most=2)


@defect("negative", "A share below nothing: a wrong blank")
def negative(folder: Folder, rng: np.random.Generator) -> Truth:
    return _cells(folder, rng, tuple(f"{value:.2f}" for value in rng.uniform(-6, -0.05, 8)), most=2)


@defect("unknown-name", "A sample of a core that nobody listed")
def unknown_core(folder: Folder, rng: np.random.Generator) -> Truth:
    sheet = Sheet(folder)
    (row,) = sheet.take(rng)
    core = sheet.get(row, "core")
    name = str(rng.choice([core.replace("-", "_"), core.replace("-", " -"), f"{core}0", core.replace("-", "")]))
    cell = sheet.put(row, "core", name)
    sheet.save()
    return Truth(cell, f"{core!r} became {name!r}", (cell,), (LABORATORY,))


@defect("no-depth", "A sample without a depth")
def no_depth(folder: Folder, rng: np.random.Generator) -> Truth:
    sheet = Sheet(folder)
    column = str(rng.choice(["depth_top_cm", "depth_bottom_cm"]))
    (row,) = sheet.take(rng)
    cell = sheet.put(row, column, text := str(rng.choice(["", "?", "top", "#REF!"])))
    sheet.save()
    return Truth(cell, f"holds {text!r}", (cell,), (LABORATORY,))


@defect("repeated-depth", "A sample that stands twice, with other values")
def repeated_depth(folder: Folder, rng: np.random.Generator) -> Truth:
    sheet = Sheet(folder)
    (row,) = sheet.take(rng)
    sheet.rows.append(list(sheet.rows[row]))
    last = len(sheet.rows) - 1
    for column in sheet.proxies:
        sheet.put(last, column, f"{float(sheet.get(row, column)) * rng.uniform(0.9, 0.99):.4g}")
    sheet.save()
    cells, first = (tuple(sheet.cell(at, column) for column in sheet.proxies) for at in (last, row))
    what = f"line {last + 2} has the depth of line {row + 2}"
    return Truth(LABORATORY, what, cells, (LABORATORY, f"{LABORATORY}, line {last + 2}"), first)


@defect("unmatched", "A sample from below the last spectrum")
def unmatched(folder: Folder, rng: np.random.Generator) -> Truth:
    sheet = Sheet(folder)
    (row,), deeper = sheet.take(rng), float(rng.integers(500, 900))
    for column in ("depth_top_cm", "depth_bottom_cm"):
        sheet.put(row, column, f"{float(sheet.get(row, column)) + deeper:g}")
    sheet.save()
    also = (LABORATORY, *(sheet.cell(row, column) for column in sheet.titles), f"{LABORATORY}, line {row + 2}")
    return Truth(LABORATORY, f"line {row + 2} lies {deeper:g} cm deeper", (), also)


@defect("label-shift", "Depths of all samples off by the same few millimetres", "folder")
def shifted_labels(folder: Folder, rng: np.random.Generator) -> Truth:
    sheet, shift = Sheet(folder), int(rng.choice(SHIFTS))
    for row in range(len(sheet.rows)):
        for column in ("depth_top_cm", "depth_bottom_cm"):
            sheet.put(row, column, f"{float(sheet.get(row, column)) + shift / 10:g}")
    sheet.save()
    return Truth(LABORATORY, f'{shift:+d} mm: write shift = "{-shift} mm"', (), (LABORATORY,))


@defect("table", "A column that contribution.toml names and the table does not have", "folder")
def column_renamed(folder: Folder, rng: np.random.Generator) -> Truth:
    sheet = Sheet(folder)
    at = int(rng.integers(len(sheet.titles)))
    old = sheet.titles[at]
    sheet.titles[at] = old.upper() if old != old.upper() else f"{old} "
    sheet.save()
    return Truth(LABORATORY, f"the column {old!r} is called {sheet.titles[at]!r}")


@defect("table", "A laboratory table that was not copied", "folder")
def table_gone(folder: Folder, rng: np.random.Generator) -> Truth:
    folder.remove([LABORATORY])
    return Truth(LABORATORY, "it is gone")


@defect("table", "A line with more cells than the table has columns", "folder")
def surplus_cell(folder: Folder, rng: np.random.Generator) -> Truth:
    sheet = Sheet(folder)
    (row,) = sheet.take(rng)
    at = int(rng.integers(3, len(sheet.rows[row])))
    sheet.rows[row][at] = sheet.rows[row][at].replace(".", ",", 1) if "." in sheet.rows[row][at] else "1,5"
    sheet.save()
    return Truth(LABORATORY, f"line {row + 2} has a decimal comma", (), (f"{LABORATORY}, line {row + 2}",))
