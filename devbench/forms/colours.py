"""The colours of pages and charts by the names of their tokens, for the light and the dark theme.

Text has a contrast of at least 4.5 to 1. Each colour has a meaning: worse is orange and better is blue, which people
with any kind of colour vision can tell apart. Tokens with d are for delegates, with f for families of operators, with s
for parts of a sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Theme = Literal["light", "dark"]

TOKENS: Mapping[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#14171b"), "raised": ("#f5f6f8", "#1c2026"),
    "ink": ("#15191e", "#e8ebef"), "soft": ("#535b65", "#a3acb8"),
    "line": ("#dde1e6", "#2c323a"), "rule": ("#b9c0c9", "#4a535f"), "link": ("#1b57a6", "#85b4f2"),
    "worse": ("#b23a08", "#ff9466"), "worse-bg": ("#fdf1ea", "#33211a"), "better": ("#14618f", "#7cc3ef"),
    "warn": ("#7d5600", "#e8bd5a"), "warn-bg": ("#fdf6e3", "#2b2517"), "virt": ("#6a4a9c", "#bda2ec"),
    "bar": ("#b7c0cb", "#4b5766"), "bar-win": ("#27364a", "#dbe2ea"), "dot": ("#27364a", "#f2f5f8"),
    "s0": ("#27364a", "#dbe2ea"), "s1": ("#6f8197", "#8b99aa"), "s2": ("#b7c0cb", "#4b5766"),
    "d0": ("#6b7480", "#98a2ae"), "d1": ("#96640a", "#e0a63c"), "d2": ("#2d6cb3", "#74a9ea"),
    "d3": ("#8a4699", "#cf92dd"), "d4": ("#2a7f74", "#6cc5b8"), "d5": ("#b5483f", "#ee8a7f"),
    "d6": ("#5b6b1d", "#b3c25c"), "d7": ("#27528c", "#a9c8ec"),
    "f0": ("#27528c", "#5b8fd0"), "f1": ("#7fa8d6", "#a9c8ec"), "f2": ("#d08a1d", "#e0a448"),
    "f3": ("#b5483f", "#e07c70"), "f4": ("#8b79b8", "#ac9bdb"), "f5": ("#4a9488", "#6cb8ab"),
    "f6": ("#b3ab92", "#8d8670"), "f7": ("#d4d9df", "#4a525c"),
}  # fmt: skip


def theme(name: Theme) -> dict[str, str]:
    """Return the colours of one theme by token."""
    return {token: colours[name == "dark"] for token, colours in TOKENS.items()}
