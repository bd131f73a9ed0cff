"""netlang without one of its means."""

from __future__ import annotations

import re

import pytest

from benchmarks.cases import MLP
from benchmarks.conductor import Effort, Runner, measure
from benchmarks.frameworks import NETLANG
from benchmarks.switches import SWITCHES, Switch
from benchmarks.without import line


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: switch.name)
def test_switch_replaces_what_is_there(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = switch.find()
    before = getattr(owner, name)
    monkeypatch.setattr(owner, name, before)  # puts it back
    switch.turn_off()
    assert getattr(owner, name) != before


def test_both_compute_the_same() -> None:
    switch = next(switch for switch in SWITCHES if switch.name == "flat-optimizer")
    runners = [Runner(NETLANG), Runner(switch.framework)]
    row = measure(MLP, runners, 1, Effort(rounds=2, seconds=0.05, starts=1))
    assert row["losses"]["netlang"] == pytest.approx(row["losses"]["netlang-without-flat-optimizer"], rel=1e-5)
    ratio = r"\d+\.\d\d"
    assert re.fullmatch(
        rf"  without flat-optimizer +step {ratio}, batch 1 {ratio}, batch 512 {ratio}; \d+ MiB", line(switch, row)
    )
