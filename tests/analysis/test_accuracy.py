"""How far outputs are from a reference: figures by their definition, faults by their name, limits by type."""

from __future__ import annotations

import math

import numpy as np
import pytest

from devbench.analysis.accuracy import FLOATS, Limit, Thresholds, compare, limit_to_json, violation
from devbench.declare import options_of

REFERENCE = np.array([1.0, -2.0, 3.0, 4.0], np.float32)


def test_equal_arrays_have_no_error() -> None:
    error = compare("y", REFERENCE.copy(), REFERENCE)
    assert (error.max_abs, error.max_rel, error.snr_db) == (0.0, 0.0, math.inf)
    assert error.cosine == pytest.approx(1.0)
    assert violation(error) == ""


def test_figures_are_those_of_their_definitions() -> None:
    found = REFERENCE + np.array([0.1, 0.0, 0.0, -0.2], np.float32)
    error = compare("y", found, REFERENCE)
    assert error.max_abs == pytest.approx(0.2, rel=1e-5)
    assert error.max_rel == pytest.approx(0.05, rel=1e-5)
    assert error.snr_db == pytest.approx(10 * math.log10(30 / 0.05), rel=1e-4)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (np.array([1.0, math.nan, 3.0, math.nan], np.float32), "2 NaN"),
        (np.array([1.0, -2.0, math.inf, 4.0], np.float32), "1 Inf"),
        (np.zeros(4, np.float32), "all zero"),
        (np.zeros(3, np.float32), "wrong size"),
        (None, "wrong size"),
        (-REFERENCE, "SNR -6.0 dB"),
        (np.full(4, 3e38, np.float32), "SNR"),
        (np.full(4, math.nan, np.float32), "4 NaN"),
    ],
)
def test_each_fault_is_named(found: np.ndarray | None, words: str) -> None:
    assert words in violation(compare("y", found, REFERENCE))


def test_zeros_that_should_be_zeros_are_right() -> None:
    assert violation(compare("y", np.zeros(4, np.float32), np.zeros(4, np.float32))) == ""


@pytest.mark.parametrize(
    ("dtype", "off", "right"),
    [
        ("int8", 3, True),
        ("int8", 4, False),
        ("uint8", 3, True),
        ("int32", 1, False),
        ("int64", 0, True),
        ("bool", 1, False),
    ],
)
def test_integers_have_limits_of_their_own(dtype: str, off: int, right: bool) -> None:
    reference = np.array([0, 1, 0, 1], dtype) if dtype == "bool" else np.array([10, 20, 30, 40], dtype)
    found = reference.copy()
    found[0] = bool(off) if dtype == "bool" else found[0] + off
    assert (violation(compare("y", found, reference)) == "") is right


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"least_snr_db": 20.0}, ""),
        ({"least_snr_db": 30.0}, "SNR 26.0 dB (limit: SNR of at least 30 dB)"),
        ({"most_abs": 0.3}, ""),
        ({"most_abs": 0.1}, "difference of at most 0.1"),
        ({"most_rel": 0.06}, ""),
        ({"most_rel": 0.01}, "relative difference of at most 0.01"),
        ({"least_cosine": 0.99}, ""),
    ],
)
def test_limits_are_the_user_s(figures: dict[str, float], said: str) -> None:
    error = compare("y", REFERENCE * 1.05, REFERENCE)
    found = violation(error, Thresholds().changed(("float32",), **figures))
    assert found.endswith(said + ")") if said and not said.endswith(")") else found.endswith(said)
    assert bool(found) is bool(said)


def test_a_limit_is_its_type_s_alone_and_keeps_its_other_figures() -> None:
    limits = Thresholds().changed(FLOATS, least_snr_db=0.0).changed(("int16",), most_steps=9)
    assert limits.of("float16") == Limit(least_snr_db=0.0, least_cosine=0.99)
    assert (limits.of("int16").most_steps, limits.of("int8").most_steps, limits.of("bool").most_steps) == (9, 3, 0)
    assert "limit: cosine" in violation(compare("y", -REFERENCE, REFERENCE), limits.changed(FLOATS, least_snr_db=-10))
    assert limit_to_json(limits.of("float16")) == {"least_snr_db": 0.0, "least_cosine": 0.99}
    words = np.array([100, 200], np.int16)
    assert violation(compare("y", words + np.int16(9), words), limits) == ""
    assert "at most 9 steps" in violation(compare("y", words + np.int16(10), words), limits)
    assert "must be equal" in violation(compare("y", words + np.int16(1), words))


def test_both_parts_of_complex_numbers_count() -> None:
    reference = np.array([1 + 2j, 3 - 1j], np.complex64)
    assert violation(compare("y", reference.copy(), reference)) == ""
    assert "SNR" in violation(compare("y", reference.conj(), reference))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_size_of_the_numbers_does_not_change_how_well_they_agree(scale: float) -> None:
    reference = np.array([1.0, -2.0, 3.0])
    plain = compare("x", reference * 1.01, reference)
    scaled = compare("x", scale * reference * 1.01, scale * reference)
    assert (scaled.snr_db, scaled.cosine) == pytest.approx((plain.snr_db, plain.cosine))
    assert plain.snr_db == pytest.approx(40.0)


def test_zeros_instead_of_nothing_and_something_instead_of_zeros_have_figures() -> None:
    zeros = np.zeros(4, np.float32)
    both = compare("y", zeros, zeros)
    assert (both.max_abs, both.max_rel, both.cosine, both.snr_db) == (0.0, None, None, math.inf)
    noise = compare("y", np.full(4, 0.5, np.float32), zeros)
    assert (noise.max_abs, noise.max_rel, noise.cosine, noise.snr_db) == (0.5, None, None, -math.inf)
    assert violation(noise)


def test_a_relative_limit_holds_where_nothing_is_zero_or_all_is_equal() -> None:
    limits = Thresholds().changed(("float32",), most_rel=0.1, least_snr_db=-1000.0, least_cosine=-1.0)
    zeros, ones = np.zeros(4, np.float32), np.ones(4, np.float32)
    assert violation(compare("y", zeros, zeros), limits) == ""
    assert violation(compare("y", 1.05 * ones, ones), limits) == ""
    assert "relative difference of at most 0.1" in violation(compare("y", 1.2 * ones, ones), limits)
    assert "relative difference of at most 0.1" in violation(compare("y", ones, zeros), limits)


def test_of_an_output_of_another_size_nothing_else_is_known() -> None:
    error = compare("y", None, REFERENCE)
    assert (error.nan, error.inf, error.all_zero, error.max_abs, error.snr_db) == (0, 0, False, None, None)


def test_the_largest_allowed_differences_are_zero_or_more() -> None:
    assert {one.name for one in options_of(Limit) if one.minimum == 0} == {"most_abs", "most_rel", "most_steps"}
