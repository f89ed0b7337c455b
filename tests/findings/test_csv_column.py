"""A column of a table that somebody made: its numbers, gaps and labels, how it is found, and bad files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from devbench.analysis.changes import ChangeSettings
from devbench.errors import InputError
from devbench.findings import csv_column
from devbench.findings.csv_column import changes_of_column, read_column


def table(path: Path, text: str) -> Path:
    (path / "x.csv").write_text(text, "utf-8")
    return path / "x.csv"


def test_a_column_has_its_numbers_gaps_and_the_labels_of_another_one(tmp_path: Path) -> None:
    file = table(tmp_path, "night, latency ms ,note\n1,2.5,a\n2,NaN,b\x1b[31m\n3,-1e3,\n4,,d\n")
    read = read_column(file, "latency ms", "note")
    assert read.name == "latency ms"
    assert read.values[[0, 2]].tolist() == [2.5, -1000.0] and np.isnan(read.values[[1, 3]]).all()
    assert read.gaps == 2
    assert [label.replace("\x1b", "") == label for label in read.labels] == [True] * 4
    assert (read.labels[0], read.labels[2], read.labels[3]) == ("a", "", "d")
    assert read_column(file, "latency ms").labels == ()


def test_a_name_counts_before_other_capitals_and_those_before_a_number(tmp_path: Path) -> None:
    file = table(tmp_path, "2,B,b\n10,20,30\n")
    assert read_column(file, "b").values.tolist() == [30]
    assert read_column(file, "B").values.tolist() == [20]
    assert read_column(file, "2").values.tolist() == [10], "the name 2"
    assert read_column(file, "3").values.tolist() == [30], "the third column"
    assert read_column(file, "1").values.tolist() == [10]
    for number in ("0", "4", "-1"):
        with pytest.raises(InputError, match="has no column"):
            read_column(file, number)
    assert read_column(table(tmp_path, "LAT\n7\n"), "lat").values.tolist() == [7]


def test_the_only_column_needs_no_name(tmp_path: Path) -> None:
    assert read_column(table(tmp_path, "lat\n1\n\n3\n"), None).gaps == 1


def test_an_error_lists_at_most_eight_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_column(table(tmp_path, ",".join(f"c{n}" for n in range(8)) + "\n"), "x")
    assert caught.value.hint == "it has c0, c1, c2, c3, c4, c5, c6, c7"
    with pytest.raises(InputError) as caught:
        read_column(table(tmp_path, ",".join(f"c{n}" for n in range(10)) + "\n"), "x")
    assert caught.value.hint == "it has c0, c1, c2, c3, c4, c5, c6, c7 and 2 more"


@pytest.mark.parametrize("cell", ["1_000", "\u0661", "0x10", "1,5", "1 2", "9" * 400])
def test_what_python_or_a_person_might_take_for_a_number_is_an_error_with_its_row(tmp_path: Path, cell: str) -> None:
    with pytest.raises(InputError, match="in row 2 of column 'a' is no number"):
        read_column(table(tmp_path, f"b;a\n1;2\n1;{cell}\n"), "a")


def test_the_mark_that_is_most_frequent_in_the_first_line_separates(tmp_path: Path) -> None:
    assert read_column(table(tmp_path, "a;b, in ms;c\n1;2;3\n"), "b, in ms").values.tolist() == [2]
    assert read_column(table(tmp_path, "a\tb\n1\t2\n"), "b").values.tolist() == [2]


def test_changes_of_a_column_are_those_of_its_values(tmp_path: Path) -> None:
    values = np.exp(np.random.default_rng(2).normal(0, 0.01, 80)) * np.where(np.arange(80) < 50, 20, 22)
    file = table(tmp_path, "lat\n" + "\n".join(f"{value:.4f}" for value in values))
    found = changes_of_column(file, None, None, ChangeSettings())
    assert [one.index for one in found.changes] == [50]
    assert [found.fails(what) for what in ("up", "down", "any")] == [True, False, True]
    assert math.isclose(float(found.column.values[0]), values[0], abs_tol=1e-4)
    assert not changes_of_column(file, None, None, ChangeSettings(smallest=0.5)).fails("any")


@pytest.mark.parametrize(
    ("content", "column", "said"),
    [
        (b"", "x", "is empty"),
        (b"\n\n  \n", "x", "is empty"),
        (b"a,b\n1,2\n", "c", "has no column 'c'"),
        (b"a,b\n1,2\n", "3", "has no column '3'"),
        (b"a,b\n1,2\n", None, "has 2 columns"),
        (b"a\n1\nfast\n", "a", "'fast' in row 2 of column 'a' is no number"),
        (b"a;b\n1;2,5\n", "b", "'2,5' in row 1"),
        (b"a\n1_000\n", "a", "is no number"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "a", "is no text"),
        (b'a,b\n"1,2\n', "a", "is no table"),
        (b"a" * (2 << 20), "a", "first line"),
    ],
)
def test_a_bad_file_is_one_clear_error(tmp_path: Path, content: bytes, column: str | None, said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_column(path, column)
    assert said in caught.value.what
    assert caught.value.hint


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.csv"
    path.write_text("latency_ms\n" + "1.5\n" * 80)
    monkeypatch.setattr(csv_column, "MOST_ROWS", 79)
    with pytest.raises(InputError, match="more than 79 rows"):
        read_column(path, "latency_ms")
    monkeypatch.setattr(csv_column, "MOST_BYTES", 100)
    with pytest.raises(InputError, match="larger than"):
        read_column(path, "latency_ms")


def test_rows_of_other_lengths_do_no_harm(tmp_path: Path) -> None:
    cells = [f"{20 + i / 100:.2f}" for i in range(80)]
    lines = ["date,lat", *(f"{i},{cell}{',more' if i == 30 else ''}" for i, cell in enumerate(cells)), "81"]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    read = read_column(tmp_path / "x.csv", "lat")
    assert (len(read.values), read.gaps) == (81, 1)
    assert read.values[30] == float(cells[30])


def test_a_folder_and_a_missing_file_have_different_messages(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r" is a folder") as folder:
        read_column(tmp_path, None)
    assert folder.value.hint == "give a CSV, or - for standard input"
    with pytest.raises(InputError, match=r"^cannot read .*x\.csv: No such file or directory"):
        read_column(tmp_path / "x.csv", None)


def test_a_file_may_have_exactly_the_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path, "lat\n" + "1\n" * 8)
    for size in (20, 19):
        monkeypatch.setattr(csv_column, "MOST_BYTES", size)
        if size == 20:
            assert len(read_column(path, None).values) == 8
        else:
            with pytest.raises(InputError, match="larger than"):
                read_column(path, None)
    monkeypatch.setattr(csv_column, "MOST_BYTES", 100)
    monkeypatch.setattr(csv_column, "_MOST_HEAD", 3)
    assert len(read_column(path, None).values) == 8
    with pytest.raises(InputError, match=r"first line of .* is too long"):
        read_column(table(tmp_path, "late\n1\n"), None)


def test_changes_of_a_column_fail_in_their_direction(tmp_path: Path) -> None:
    cells = [f"{level * (1 + 0.001 * (-1) ** k):.4f}" for level in (10.0, 12.0) for k in range(12)]
    found = changes_of_column(table(tmp_path, "lat\n" + "\n".join(cells)), None, None, ChangeSettings())
    (change,) = found.changes
    assert (change.index, change.direction) == (12, "up")
    assert [found.fails(what) for what in ("any", "up", "down")] == [True, True, False]
