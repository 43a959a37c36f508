"""One spectrum file of a virtual scanner, opened for a change of its counts, its header or its name.

Only what is set is rewritten, so everything else of the file stays as the scanner left it, to the byte. Written from
the format descriptions, without the readers: a mistake must be made twice to go unseen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from corebank.virtual.avaatech import COUNTS_PER_LINE

_ITRAX_TABLE = b"channel\tcontent\t\t\r"
_ITRAX_KEYS = {
    "position": "Position",
    "live": "livetime",
    "real": "runtime",
    "voltage": "Tube voltage:",
    "current": "Tube current:",
    "date": "Date:",
    "comments": "comments",
    "input_rate": "input_count_rate",
    "output_rate": "output_count_rate",
    "triggers": "triggers",
    "total": "events_in_run",
}
_AVAATECH_KEYS = {"voltage": "ACC_VOLT", "current": "TUBE_CUR", "core": "Core_ID", "start": "Section_ID"}
_AVAATECH_NAME = re.compile(
    r"(?P<core>.+)_(?P<start>\d+) (?P<position> *[\d.]+)mm (?P<live> *\d+)s (?P<voltage> *\d+)kV (?P<current>\d+)uA "
    r"(?P<filter>\S+) (?P<across> *[\d.]+)mm Run1 Rep(?P<replicate>\d+) Sett Low\.spe"
)


@dataclass(slots=True)
class Point:
    """One scan point: the name of its file below the folder, and the file's bytes."""

    name: str
    content: bytes

    @property
    def is_itrax(self) -> bool:
        """True for an Itrax spectrum, False for one of an Avaatech."""
        return self.content.startswith(b"Date:")

    @property
    def whole(self) -> bool:
        """False where another defect has left no table of counts."""
        return _ITRAX_TABLE in self.content or b"$DATA:\r\n" in self.content

    @property
    def counts(self) -> np.ndarray:
        """Counts (channel,) int64."""
        if self.is_itrax:
            fields = self.content[self._body :].split()
            return np.array(fields[1::2], dtype=np.float64).astype(np.int64)
        return np.array(self.content[self._body :].split()[2:], dtype=np.int64)

    @counts.setter
    def counts(self, counts: np.ndarray) -> None:
        """Replace the counts, and with them the file's own total and rates."""
        before, after = int(self.counts.sum()), int(counts.sum())
        self.table(counts)
        if not self.is_itrax:
            self._put("TotalCPS", f"{after / self.number('live'):.1f}")
            return
        for rate in ("input_rate", "output_rate"):
            self.put(rate, f"{self.number(rate) * after / max(before, 1):.6f}")
        self.put("total", str(after))
        self.put("triggers", str(max(after, round(self.number("triggers") * after / max(before, 1)))))

    def table(self, counts: np.ndarray) -> None:
        """Replace the counts alone; the header keeps the total of what was measured."""
        values = counts.tolist()
        if self.is_itrax:
            rows = "".join(f"{channel}.000\t{count}.000\r\n" for channel, count in enumerate(values, start=1))
        else:
            lines = [
                " ".join(f"{count:7d}" for count in values[start : start + COUNTS_PER_LINE])
                for start in range(0, len(values), COUNTS_PER_LINE)
            ]
            rows = "\r\n".join([f"0 {len(values) - 1}", *lines]) + "\r\n"
        self.content = self.content[: self._body] + rows.encode("ascii")

    def get(self, key: str) -> str:
        """Text of a header field: position, live, real, voltage, current, total, or one of a family's own."""
        if self.is_itrax:
            found = re.search(self._itrax_item(key), self.content[: self._body])
            return found[2].decode("ascii") if found else ""
        if key in ("live", "real"):
            return self._value("MEAS_TIM").split()[("live", "real").index(key)]
        return self._value("Depth" if key == "position" else _AVAATECH_KEYS[key])

    def number(self, key: str) -> float:
        """A header field as a number."""
        return float(self.get(key))

    def put(self, key: str, text: str) -> None:
        """Set a header field, and with it the file's name where an Avaatech repeats it there; "" leaves it without."""
        if self.is_itrax:
            replace = rb"\g<1>" + text.encode("ascii") + rb"\g<3>"
            head = re.sub(self._itrax_item(key), replace, self.content[: self._body], count=1)
            self.content = head + self.content[self._body :]
        elif key in ("live", "real"):
            both = [self.get("live"), self.get("real")]
            both[("live", "real").index(key)] = text
            self._put("MEAS_TIM", " ".join(both))
            if key == "live":  # the rate is one by this clock
                live = float(text)
                self._put("TotalCPS", f"{self.counts.sum() / live:.1f}" if live > 0 else "")
            if key == "live" and re.fullmatch(r"\d+", text):
                self._rename(live=f"{int(text):3d}")
        elif key == "position":
            self._put("Depth", text)
            self._put("X_Position", text)
            self._rename(position=f"{float(text):6.1f}") if text else self._forget_place()
        else:
            self._put(_AVAATECH_KEYS[key], text)
            self._rename(**self._in_name(key, text))

    def replicate(self, number: int) -> None:
        """Make an Avaatech file the repeat `number` of its position, by its name and its header."""
        self._put("Replicate_ID", f"Rep{number}")
        self._rename(replicate=str(number))

    @property
    def _body(self) -> int:
        """Where the table of counts begins."""
        mark = _ITRAX_TABLE if self.is_itrax else b"$DATA:\r\n"
        return self.content.index(mark) + len(mark)

    def _itrax_item(self, key: str) -> bytes:
        return rb"((?:^|\r)" + re.escape(_ITRAX_KEYS[key]).encode("ascii") + rb"\t)([^\t\r]*)(\t)"

    def _value(self, key: str) -> str:
        found = re.search(rb"\$" + key.encode("ascii") + rb":\r\n([^\r]*)\r\n", self.content)
        return found[1].decode("ascii") if found else ""

    def _put(self, key: str, text: str) -> None:
        """Set an Avaatech field; an empty one is left out, key and all, as the scanner does."""
        line = f"${key}:\r\n".encode("ascii")
        new = line + f"{text}\r\n".encode("ascii") if text else b""
        self.content = re.sub(re.escape(line) + rb"[^\r]*\r\n", lambda _: new, self.content, count=1)

    @staticmethod
    def _in_name(key: str, text: str) -> dict[str, str]:
        """What a header value is called in an Avaatech's file name, uA and all."""
        if key == "current":
            return {"current": f"{float(text) * 1000:.0f}"}
        return {key: f"{float(text):3.0f}" if key == "voltage" else text}

    def _rename(self, **parts: str) -> None:
        path = PurePosixPath(self.name)
        found = _AVAATECH_NAME.fullmatch(path.name)
        if not found:
            return
        new = found.groupdict() | parts
        name = (
            f"{new['core']}_{new['start']} {new['position']}mm {new['live']}s {new['voltage']}kV {new['current']}uA "
            f"{new['filter']} {new['across']}mm Run1 Rep{new['replicate']} Sett Low.spe"
        )
        self._call(path, name)

    def _forget_place(self) -> None:
        """Take every length out of the file's name."""
        path = PurePosixPath(self.name)
        self._call(path, re.sub(r" +[\d.]+mm", "", path.name))

    def _call(self, path: PurePosixPath, name: str) -> None:
        self._put("SPEC_ID", name.removesuffix(".spe"))
        self.name = str(path.with_name(name))
