"""A comparison names each file that was exchanged between its sides: the vendor's library, the tool, an input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import devbench.results
from devbench.findings.comparison import ComparisonReport
from devbench.findings.comparison_build import build_comparison
from devbench.forms.markdown import markdown
from devbench.notices import Effect, NoticeKind
from devbench.results.records import BinaryRecord, FileRecord
from devbench.results.store import Store
from devbench.sections.comparison import comparison_data, comparison_document
from tests.made.samples import FILES, add_run

NEW = replace(FILES[0], sha256="f" * 64, version="QNN 2.47.0")
SAID = "the library is not the same on both sides: QNN 2.44.0 (cccccccc) → QNN 2.47.0 (ffffffff)"


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., ComparisonReport]:
    """Compares a run with these files with one with others, or with another tool."""

    def compare(
        before: tuple[FileRecord, ...], after: tuple[FileRecord, ...], **of_candidate: object
    ) -> ComparisonReport:
        url = str(tmp_path / "results.db")
        with Store(url) as store:
            sides = [[add_run(store, files=before)], [add_run(store, 1, files=after, **of_candidate)]]
        with devbench.results.open_history(url) as history:
            return build_comparison(history, *sides)

    return compare


def of_files(report: ComparisonReport) -> list[str]:
    return [one.text for one in report.notices if one.kind is NoticeKind.LIBRARY_CHANGED]


def test_a_library_that_was_exchanged_is_named_with_both_versions(
    compared: Callable[..., ComparisonReport],
) -> None:
    report = compared(FILES, (NEW, *FILES[1:]))
    (notice,) = (one for one in report.notices if one.kind is NoticeKind.LIBRARY_CHANGED)
    assert notice.text.startswith(f"{SAID}; used by model · gpu")
    assert (notice.subject, notice.effect) == ("libQnnHtp.so", Effect.INFORMATION)
    assert SAID in markdown(comparison_document(report, "markdown")).replace("\\", "")
    assert "library_changed" in str(comparison_data(report)["notices"])


def test_the_same_files_are_not_mentioned(compared: Callable[..., ComparisonReport]) -> None:
    assert of_files(compared(FILES, FILES)) == []


def test_a_file_of_one_side_only_another_tool_and_other_inputs_are_named(
    compared: Callable[..., ComparisonReport],
) -> None:
    tool = BinaryRecord("9" * 64, "tflite-2.20", "2.20", "arm64-v8a", "default", "tflite")
    other_input = replace(FILES[2], sha256="1" * 64)
    said = of_files(compared(FILES, (FILES[0], other_input), binary=tool))
    assert [text.split(";")[0] for text in said] == [
        "the library is used by the baseline only: QNN 2.44.0 (dddddddd)",
        "the input is not the same on both sides: eeeeeeee → 11111111",
        "the tool is not the same on both sides: tflite (bbbbbbbb) → tflite-2.20 (99999999)",
    ]
