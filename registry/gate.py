"""May a model take the champion's place? Only if it is about as good on every core that the champion was measured on.

    python -m registry.gate CANDIDATE CHAMPION [--catalog CATALOG] [--json]

Both are compared on what their bundles recorded about the same held-out data. All rules are looked at, and every reason
to refuse is told at once:

- ``outputs``: the candidate gives each proxy of the champion in its unit, intervals and warnings where it has them.
- ``rmse``: on no held-out core of the champion, and not on all together, is the candidate's error larger by more than
  noise and 5 %, label by label (`registry.comparing`, `registry.noise`). A core that it was not judged on refuses.
  Bundles that keep no labels are compared by their RMSE over all cores, which may grow by 10 %.
- ``loss``: a foundation model reconstructs every expedition as well, up to 2 % (a single core, where recorded: 5 %).
- ``coverage``, ``outliers``, ``licences``, ``snapshots``, ``unseen``: what it must be by itself (`registry.standing`).

What that amounts to, by simulation (``python -m registry.power``: one proxy, errors of a model correlated by 0.5 with
their neighbours', cores that differ, 400 candidates a number, 200 for 20 cores). Share of candidates refused that are
equally good, or 1.1, 1.25, 1.5 and 2 times as wrong on one of the cores. "alike" is how the errors of the two models
correlate: between four quantifiers of the virtual cores it was 0.39 to 0.97 on each held-out core, 0.81 in the middle,
and the errors of neighbours correlated by 0.4 in the middle:

    alike  cores  labels  equal  x1.1   x1.25  x1.5   x2
    0.7    5      10        6%     6%     8%    16%    35%
    0.7    5      20       13%    16%    22%    41%    78%
    0.7    5      50       16%    24%    43%    77%    98%
    0.7    20     20       12%    16%    18%    22%    50%
    0.9    5      10        6%     8%    15%    32%    66%
    0.9    5      20       14%    20%    39%    73%    97%
    0.9    5      50       14%    29%    68%    97%   100%

About one equally good candidate in eight is refused where a tenth is aimed at: a block of a few labels does not see how
far errors reach along a core (where neighbours are independent it is 6 %). A candidate that is half as wrong again on a
core of ten labels mostly passes: ten labels cannot tell. More labels on the held-out cores make the gate sharper.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from corebank.cli import run
from corebank.errors import RegistryError
from registry import comparing, standing
from registry.verdict import Verdict

if TYPE_CHECKING:
    from corebank.bundle import Bundle


def compare(candidate: Bundle, champion: Bundle) -> Verdict:
    """Compare what both bundles recorded about held-out data; nothing is read but the two."""
    return Verdict(rows=tuple(comparing.rows(candidate, champion)))


def judge(candidate: Bundle, champion: Bundle | None = None, catalog: str = "") -> Verdict:
    """All rules: what the candidate is by itself, and beside the champion where there is one.

    Parameters
    ----------
    candidate, champion
        The models.
    catalog
        Where what the bundles do not record is measured, and where banks are looked for that have moved; empty for
        neither.

    Raises what `registry.measuring.completed` raises.
    """
    if catalog and champion is not None:
        from registry import measuring

        candidate, champion = measuring.completed(candidate, champion, catalog)
    beside = comparing.rows(candidate, champion) if champion is not None else ()
    return Verdict(rows=(*beside, *standing.rows(candidate, catalog)))


app = App(name="python -m registry.gate", help=__doc__, result_action="return_value")


@app.default
def gate(
    candidate: str,
    champion: str,
    /,
    *,
    catalog: str = "",
    as_json: Annotated[bool, Parameter("--json", negative="")] = False,
) -> None:
    """Compare two models and say whether the first may replace the second.

    Parameters
    ----------
    candidate
        Folder of a run or bundle, or models:/name@alias or models:/name/3.
    champion
        The same.
    catalog
        Catalog in which the models are measured on cores that their bundles do not record, and in which banks are
        looked for that have moved.
    as_json
        One JSON document.
    """
    from corebank import bundle, hub

    ours, theirs = (bundle.load(hub.resolve(model)) for model in (candidate, champion))
    verdict = judge(ours, theirs, catalog)
    print(json.dumps(verdict.to_json(), indent=2, ensure_ascii=False) if as_json else verdict)
    if not verdict.passed:
        raise RegistryError(candidate, verdict.reasons, "Train it further, or leave the champion where it is")


if __name__ == "__main__":
    run(app)
