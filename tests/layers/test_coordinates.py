"""Coordinates of the samples, in all the ways in which they can be given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image

from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.layers.request.choices import Coordinates
from napari_imagefit.layers.request.coordinates import parse_numbers, parse_ranges, read_columns, resolve


@pytest.fixture
def echoes() -> Image:
    return Image(np.zeros((4, 5, 6)), name="echoes", scale=(8, 1, 1), translate=(8, 0, 0), units=("ms", "um", "um"))


@pytest.mark.parametrize(
    ("coordinates", "x", "unit"),
    [
        (Coordinates(), [8, 16, 24, 32], "ms"),
        (Coordinates("index"), [0, 1, 2, 3], ""),
        (Coordinates("steps", 5, 2.5, unit="s"), [5, 7.5, 10, 12.5], "s"),
        (Coordinates("steps", 5, -1, unit="s"), [5, 4, 3, 2], "s"),
        (Coordinates("typed", values=(1, 2, 4, 8), unit="h"), [1, 2, 4, 8], "h"),
        (Coordinates("column", values=(0, 0, 1, 1)), [0, 0, 1, 1], ""),
    ],
)
def test_each_kind(echoes: Image, coordinates: Coordinates, x: list[float], unit: str) -> None:
    found, its_unit = resolve(coordinates, echoes, 0)
    assert found.tolist() == x
    assert its_unit == unit


@pytest.mark.parametrize(
    ("coordinates", "sentence"),
    [
        (Coordinates("steps", 0, 0), "give a step that is not 0"),
        (Coordinates("typed"), "No coordinates were given; type one"),
        (Coordinates("column"), "choose a file and its column"),
        (Coordinates("typed", values=(1, 2)), "2 coordinates were typed, but the stack has 4 samples along axis 0"),
        (Coordinates("column", values=(1, 2)), "2 coordinates were in the column, but"),
        (Coordinates("typed", values=(1, 2, float("nan"), 3)), "Coordinate 3 is not finite"),
        (Coordinates("typed", values=(2, 2, 2, 2)), "All coordinates are 2"),
    ],
)
def test_what_makes_no_coordinates(echoes: Image, coordinates: Coordinates, sentence: str) -> None:
    with pytest.raises(FitInputError, match=sentence):
        resolve(coordinates, echoes, 0)


def test_numbers_are_pasted_from_anywhere() -> None:
    assert parse_numbers("5\n10\t20, 40;−1e-3 ") == (5, 10, 20, 40, -1e-3)
    assert parse_numbers("  ") == ()
    with pytest.raises(FitInputError, match="'10ms' is not a number"):
        parse_numbers("5 10ms")


def test_ranges() -> None:
    assert parse_ranges("40-60; 70") == ((40, 60), (70, 70))
    assert parse_ranges("-3 to -1, 1:2, 5..6, 1e-3–2e-3") == ((-3, -1), (1, 2), (5, 6), (1e-3, 2e-3))
    assert parse_ranges(" ") == ()
    for wrong in ("5–", "a", "6–5", "1 2"):
        with pytest.raises(FitInputError, match="is no range"):
            parse_ranges(wrong)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("time,signal,name\n1,10,a\n2,20,b\n", {"time": (1, 2), "signal": (10, 20)}),
        ("time;dose\n1;0.5\n2;0.7", {"time": (1, 2), "dose": (0.5, 0.7)}),
        ("1 10\n2 20\n", {"column 1": (1, 2), "column 2": (10, 20)}),
        ("# made by hand\n5\n10\n", {"column 1": (5, 10)}),
        ("0 1000 2000\n", {"row 1": (0, 1000, 2000)}),
        ("\ufefft,y\n1,2\n", {"t": (1,), "y": (2,)}),
    ],
)
def test_columns_of_a_table(tmp_path: Path, text: str, columns: dict[str, tuple[float, ...]]) -> None:
    path = tmp_path / "times.csv"
    path.write_text(text, encoding="utf-8")
    assert dict(read_columns(path)) == columns


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "times.csv is no table"),
        (b"a,b\n1\n", "its rows have different lengths"),
        (b"a,b\nx,y\n", "no column of numbers only"),
        (b"\xff\xfe\x00\xd8", "cannot be read: it is not text"),
        (None, "cannot be read: No such file"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "times.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FitInputError, match=sentence):
        read_columns(path)
