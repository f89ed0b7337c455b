"""Chart files: text and strokes have the size that was asked for, names are text, equal data make equal files."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from devbench.findings.run_build import build_report
from devbench.forms.charts.files import chart_file
from devbench.forms.charts.style import RC, TEXT, TITLE, Sheet, families, width_of, wrapped
from devbench.sections.chart_kinds import charts_of
from devbench.sections.charts import (
    Bar,
    Chart,
    Curve,
    Group,
    Panel,
    PanelChart,
    Point,
    Row,
    RowChart,
    Series,
    delegate_colours,
    family,
    needs_log,
)
from devbench.sections.waterfall import Step, waterfall
from tests.made.phones import phone_view

EVIL = "<script>alert(1)</script>\x1b[31m $x^2$ {b} 模型 \u202e"


def bars(count: int, label: str = "GPU", factor: float = 1.0, **options: Any) -> RowChart:
    rows = tuple(
        Row(f"{label} {n}", (Bar(1.0 + factor * n, 0, f"{1 + factor * n:.1f}", "", 1.0 + factor * n - 0.2, 1.3 + factor * n),),
            points=(Point(1.0 + factor * n, "counted"), Point(1.1, "unreliable")))
        for n in range(count)
    )  # fmt: skip
    options = {"title": "Latency: small_unet on Pixel 8", **options}
    return RowChart(
        "latency", alt="", unit="ms", series=(Series("median", "bar"),), groups=(Group("", rows),), **options
    )


def drawn(chart: Chart, width_in: float, monkeypatch: pytest.MonkeyPatch) -> Figure:
    """The figure of a chart, as it was saved."""
    saved: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *words: Any, **options: Any) -> None:
        saved.append(self)
        save(self, *words, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    chart_file(chart, "png", width_in=width_in, dpi=72)
    return saved[0]


def texts(figure: Figure) -> Iterator[Text]:
    """The texts that are drawn: matplotlib keeps the labels of marks beyond an axis, too."""
    beyond = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            beyond |= {id(tick.label1) for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_text() and text.get_visible() and id(text) not in beyond:
            yield text


@pytest.mark.parametrize("kind", ["latency", "operators", "memory", "conditions"])
@pytest.mark.parametrize("width", [3.4, 8.0])
def test_text_has_its_size_at_any_width_and_stays_on_the_paper(
    kind: str, width: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn(charts_of(kind, build_report(phone_view()), "cpu")[0], width, monkeypatch)
    assert figure.get_size_inches()[0] == pytest.approx(width)
    found = list(texts(figure))
    assert {text.get_fontsize() for text in found} == {TEXT, TITLE}
    figure.set_dpi(72)
    canvas = FigureCanvasAgg(figure).get_renderer()
    for text in found:
        with matplotlib.rc_context({**RC, "font.family": families()}):
            box = text.get_window_extent(canvas)
        assert box.x0 >= -1 and box.x1 <= 72 * width + 1, (text.get_text(), box)
        assert box.y0 >= -1 and box.y1 <= 72 * figure.get_size_inches()[1] + 1, text.get_text()


@pytest.mark.parametrize("dpi", [72, 160, 300, 400])
@pytest.mark.parametrize("width", [3.4, 8.0])
def test_a_stroke_is_as_thick_as_asked_at_any_resolution(dpi: int, width: float) -> None:
    """The interval is a line of one point; the second row has nothing else right of its bar."""
    image = Image.open(io.BytesIO(chart_file(bars(2, factor=3.0), "png", dpi=dpi, width_in=width))).convert("L")
    assert image.width == pytest.approx(width * dpi, abs=1)
    ink = [[image.getpixel((x, y)) < 128 for y in range(image.height)] for x in range(image.width)]
    runs = [re.findall("#+", "".join("#" if dark else " " for dark in column)) for column in ink]
    thin = [len(run) for column in runs for run in column if len(run) < 3 * dpi / 72]
    expected = dpi / 72
    assert thin.count(round(expected)) + thin.count(max(1, int(expected))) > 0.03 * width * dpi
    if dpi >= 160:
        middle = sorted(thin)[len(thin) // 2]
        assert 0.4 * expected <= middle <= 1.6 * expected


@pytest.mark.parametrize("count", [1, 60])
@pytest.mark.parametrize("width", [3.4, 8.0])
def test_one_row_and_sixty_are_readable(count: int, width: float, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn(bars(count), width, monkeypatch)
    axes = figure.axes[1]
    points = axes.get_position().height * 72 * figure.get_size_inches()[1]
    assert points / count >= 14, "a row has room for a line of text"
    labels = [text for text in texts(figure) if re.fullmatch(r"[0-9.]+", text.get_text()) and text.axes is axes]
    assert len(labels) >= count, "each bar has its value at its end"


def test_values_decades_apart_get_a_logarithmic_axis() -> None:
    assert needs_log([1.0, 50.0])
    assert not needs_log([1.0, 20.0])
    assert not needs_log([0.0, 50.0])
    assert not needs_log([])


def test_hostile_and_foreign_names_are_text_and_say_nothing_on_the_terminal() -> None:
    code = (
        "from tests.forms.test_chart_files import EVIL, bars\n"
        "from devbench.forms.charts.files import chart_file\n"
        "for form in ('png', 'svg', 'pdf'): data = chart_file(bars(3, EVIL, title=EVIL), form)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    text = chart_file(bars(3, EVIL, title=EVIL), "svg").decode()
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "$x^2$" in text
    assert "模型" in text


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_equal_data_make_equal_files(form: Any) -> None:
    assert chart_file(bars(3), form) == chart_file(bars(3), form)


def test_dark_paper_is_dark() -> None:
    image = Image.open(io.BytesIO(chart_file(bars(1), "png", theme="dark"))).convert("L")
    corner = image.getpixel((1, 1))
    assert isinstance(corner, int) and corner < 40


def test_an_operator_has_one_family_whatever_a_delegate_calls_it() -> None:
    names = {
        "f0": ("CONV_2D", "Convolution (NHWC, F32) IGEMM", "convolution_2d"),
        "f1": ("DEPTHWISE_CONV_2D", "Convolution (NHWC, F32) DWConv", "depthwise_convolution"),
        "f2": ("FULLY_CONNECTED", "Fully Connected (NC, F32) GEMM", "BATCH_MATMUL", "Batch Matrix Multiply (NC, F32)"),
        "f3": ("RESIZE_BILINEAR", "TRANSPOSE_CONV", "Deconvolution (NHWC, F32)", "convolution_transposed"),
        "f4": ("ADD", "Multiply (ND)", "LOGISTIC", "MAXIMUM", "HARD_SWISH"),
        "f5": ("MEAN", "SOFTMAX", "Softmax (NC, F32)", "AVERAGE_POOL_2D"),
        "f6": ("RESHAPE", "Copy (NC, X32)", "CONCATENATION", "Convert (NC, F32)", "QUANTIZE", "Transpose (ND, X32)"),
        "f7": ("CUSTOM", "LSTM"),
        "bar": ("TfLiteGpuDelegateV2", "Delegate/Convolution"),
    }
    for colour, those in names.items():
        assert {name: family(name).colour for name in those} == dict.fromkeys(those, colour)


def test_a_delegate_has_its_colour_and_each_title_another_one() -> None:
    found = delegate_colours(["GPU", "CPU · 4 threads", "XNNPACK", "XNNPACK · 1 thread", "NPU", "my.so"])
    assert (found["CPU · 4 threads"], found["XNNPACK"], found["GPU"], found["NPU"]) == ("d0", "d1", "d2", "d3")
    assert len(set(found.values())) == 6


@pytest.mark.filterwarnings("ignore:Glyph")
def test_text_is_broken_within_words_that_are_longer_than_a_line() -> None:
    lines = wrapped("a " + "x" * 100 + " 模型模型", 120.0)
    assert "".join(lines).replace(" ", "") == "a" + "x" * 100 + "模型模型"
    assert all(width_of(line) <= 120.0 for line in lines)


def test_a_gap_stays_a_gap_and_an_empty_panel_is_drawn() -> None:
    line = Curve("GPU", "d2", (1.0, 2.0, 3.0), (5.0, None, 6.0), lows=(4.0, None, 5.0), highs=(6.0, None, 7.0))
    chart = PanelChart("x", "x", "", (Panel("ms", (line,)), Panel("nothing")), "seconds")
    assert chart_file(chart, "svg").startswith(b"<?xml")
    assert "DejaVu Sans" in families() or families()
    assert RC["text.parse_math"] is False
    assert Sheet(3.4, "light").inner < 72 * 3.4


def test_a_bar_of_a_waterfall_begins_where_the_one_before_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [Step("baseline", 3.0, "3 s"), Step("refused", None, "failed"), Step("slower", 4.0, "4 s"),
               Step("faster", 1.0, "1 s")]  # fmt: skip
    figure = drawn(waterfall("levers", "Levers", "s", changes, last="in all"), 8, monkeypatch)
    bars = [(round(bar.get_x(), 6), round(bar.get_x() + bar.get_width(), 6)) for bar in figure.axes[1].patches]
    assert bars == [(0, 3), (3, 4), (4, 1), (0, 1)]
    assert {"failed", "4 s", "1 s"} <= {text.get_text() for text in figure.findobj(Text)}
