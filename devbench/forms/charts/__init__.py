"""Draws charts with matplotlib into PNG, SVG and PDF files; reads only what `sections/charts.py` declares."""

from __future__ import annotations

from typing import Literal

ChartForm = Literal["png", "svg", "pdf"]
CHART_FORMS: tuple[ChartForm, ...] = ("png", "svg", "pdf")
DPI = 160
WIDTH_IN = 8.0
