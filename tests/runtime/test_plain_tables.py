"""A table of numbers as a newcomer has it: prices that happen to be whole, one output, as many inputs as columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from netlang.compiler import Network
from netlang.runtime.data.matching import match
from netlang.runtime.data.sources import open_data
from netlang.runtime.job import open_network

from netlang.diagnostics import DiagnosticError

TABLE = "rooms,area,price\n3,70,200\n4,90,260\n2,40,120\n5,120,330\n"
HOUSE = """use std.layers: linear
model House(features: int)(x: f32[batch, features]) -> f32[batch] { return linear(1)(x)[:, 0] }
train House {
  in NAME: f32[batch]
  minimize mse(forward(x), NAME)
  optimizer sgd(0.1)
}
"""


def house(folder: Path, name: str, **settings: int) -> Network:
    """A model of prices, with a target of this name."""
    (folder / "house.net").write_text(HOUSE.replace("NAME", name))
    return open_network(str(folder / "house.net"), None, settings)


@pytest.mark.parametrize("name", ["price", "y"])
def test_whole_numbers_are_real_ones_where_those_are_wanted(tmp_path: Path, name: str) -> None:
    rows = np.array([[3, 70, 200], [4, 90, 260], [2, 40, 120], [5, 120, 330]])
    np.savez(tmp_path / "house.npz", x=rows[:, :2].astype(np.float32), price=rows[:, 2])
    matched = match(open_data(f"npz:{tmp_path / 'house.npz'}"), house(tmp_path, name, features=2))
    rows = matched.splits["train"].take(np.arange(4))
    assert rows[name].dtype == np.float32
    assert rows[name].tolist() == [200, 260, 120, 330]
    assert rows["x"].shape == (4, 2)
    assert f"`{name}`: whole numbers, taken for real ones" in matched.notes


def test_a_table_says_how_many_features_there_are(tmp_path: Path) -> None:
    (tmp_path / "house.csv").write_text(TABLE)
    data = open_data(str(tmp_path / "house.csv"))
    assert data.settings == {"features": 2}
    assert match(data, house(tmp_path, "price", **data.settings)).fields["price"].dtype == "i64"


def test_numbers_of_classes_stay_numbers_of_classes(tmp_path: Path) -> None:
    (tmp_path / "house.csv").write_text(TABLE.replace("200", "dear").replace("260", "cheap"))
    with pytest.raises(DiagnosticError) as caught:
        match(open_data(str(tmp_path / "house.csv")), house(tmp_path, "price", features=2))
    assert caught.value.diagnostics[0].code == "wrong-input"
