"""Which runs the two sides of a comparison are, and which devices and models a person's words name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import devbench.results
from devbench.errors import InputError
from devbench.findings.comparison import ComparisonSettings
from devbench.findings.sides import choose_sides, compare, device_keys, model_names
from devbench.results.run_files import run_to_json
from devbench.results.store import Store
from tests.made.nights import Made, night

LEVELS = (3.0, 3.1, 3.2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """Nights of two devices: the second measured nothing that the last one did, the third failed."""
    url = str(tmp_path_factory.mktemp("sides") / "results.db")
    with Store(url) as store:
        ids = [
            night(store, 0, [Made(LEVELS, "a/unet", title="Pixel 8 (KEY)")], {"build": "1"}),
            night(store, 1, [Made(LEVELS, "b/unet", device="OTHER", title="Galaxy S24 (OTHER)")], {"build": "2"}),
            night(store, 2, [Made((), "a/unet", failed=2, title="Pixel 8 (KEY)")], {"build": "3"}),
            night(store, 3, [Made(LEVELS, "a/unet", title="Pixel 8 (KEY)")], {"build": "4"}),
        ]
    return url, ids


def sides(url: str, baseline: str, candidate: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    with choose_sides(baseline, candidate, url) as (before, after):
        assert (before.title, after.title) == (Path(baseline).name, Path(candidate).name)
        return before.run_ids, after.run_ids


def test_previous_is_the_newest_earlier_run_that_measured_one_of_the_cases(store: tuple[str, list[str]]) -> None:
    url, ids = store
    assert sides(url, "previous", "latest") == ((ids[0],), (ids[3],)), "neither another device nor a failure"
    with pytest.raises(InputError, match=r"no run before .* measured any of its cases on the same device"):
        sides(url, "previous", ids[1])


def test_sides_are_labels_ids_periods_and_files(store: tuple[str, list[str]], tmp_path: Path) -> None:
    url, ids = store
    assert sides(url, "build=1", "build=4") == ((ids[0],), (ids[3],))
    assert sides(url, "2026-09-01..2026-09-02", ids[3][:15]) == ((ids[0], ids[1]), (ids[3],))
    file = tmp_path / "before.json"
    with Store(url) as opened:
        file.write_text(json.dumps(run_to_json(opened.run(ids[0]))))
    assert sides(url, str(file), "latest") == ((ids[0],), (ids[3],))


def test_a_run_is_not_compared_with_itself_and_a_missing_file_is_no_run(store: tuple[str, list[str]]) -> None:
    url, ids = store
    with pytest.raises(InputError, match=f"run {ids[3]} is on both sides"):
        sides(url, "build=4", "latest")
    for words in ("nowhere.json", "no/where"):
        with pytest.raises(InputError, match=f"there is no file {words}"):
            sides(url, words, "latest")


def test_a_device_is_named_by_its_key_or_a_part_of_its_title(store: tuple[str, list[str]]) -> None:
    with devbench.results.open_history(store[0]) as history:
        assert device_keys([history], []) == ()
        assert device_keys([history], ["pixel"]) == ("KEY",)
        assert device_keys([history], ["KEY"]) == ("KEY",)
        assert set(device_keys([history], ["("])) == {"KEY", "OTHER"}
        assert device_keys([history], ["galaxy", "OTHER"]) == ("OTHER",)
        with pytest.raises(InputError, match="no device 'nokia' in the store") as caught:
            device_keys([history], ["nokia"])
    assert "Pixel 8 (KEY)" in caught.value.hint and "Galaxy S24 (OTHER)" in caught.value.hint


def test_a_model_is_named_by_its_key_or_the_end_of_it(store: tuple[str, list[str]]) -> None:
    with devbench.results.open_history(store[0]) as history:
        assert model_names([history], []) == ()
        assert model_names([history], ["a/unet"]) == ("a/unet",)
        assert model_names([history], ["unet"]) == ("a/unet", "b/unet")
        assert model_names([history], ["b/unet,a/unet"]) == ("b/unet", "a/unet")
        with pytest.raises(InputError, match="no model 'a/unett' in the store") as near:
            model_names([history], ["a/unett"])
        with pytest.raises(InputError) as far:
            model_names([history], ["xyz"])
    assert near.value.hint == "did you mean a/unet?"
    assert far.value.hint == "there are a/unet, b/unet"


def test_sides_without_a_case_in_common_are_an_error_that_says_why(store: tuple[str, list[str]]) -> None:
    url, ids = store

    def hint(candidate: str, **filters: tuple[str, ...]) -> str:
        with pytest.raises(InputError, match="the two sides have no case in common") as caught:
            compare(ids[0], candidate, url, ComparisonSettings(**filters))
        return caught.value.hint

    assert hint(ids[1]) == "they were measured on different devices"
    check = "check --device, --model and --delegate against `devbench show`"
    assert hint(ids[3], devices=("galaxy",)) == hint(ids[3], models=("b/unet",)) == check
    assert hint(ids[3], delegates=("cpu",)) == check


def test_a_comparison_takes_names_of_devices_and_models_as_people_give_them(store: tuple[str, list[str]]) -> None:
    url, ids = store
    found = compare(ids[0], ids[3], url, ComparisonSettings(devices=("pixel",), models=("unet",)))
    assert (found.baseline.title, found.candidate.run_ids) == (ids[0], (ids[3],))
    assert {(row.device_key, row.model) for row in found.rows} == {("KEY", "a/unet")}
    failed = compare(ids[0], ids[2], url)
    assert failed.failures and not [row for row in failed.rows if row.metric == "latency"]
    assert compare(ids[2], ids[3], url).fixed


def test_runs_on_the_same_device_with_other_cases_have_nothing_in_common(tmp_path: Path) -> None:
    url = str(tmp_path / "r.db")
    with Store(url) as made:
        ids = [night(made, k, [Made(LEVELS, f"m{k}")]) for k in range(2)]
    with pytest.raises(InputError) as caught:
        compare(ids[0], ids[1], url)
    assert caught.value.hint == "they measured other models, delegates or threads"


def test_a_long_list_of_models_is_cut_in_a_hint(tmp_path: Path) -> None:
    url = str(tmp_path / "r.db")
    with Store(url) as made:
        night(made, 0, [Made(LEVELS, f"m{k:02d}") for k in range(10)])
        with devbench.results.open_history(url) as history, pytest.raises(InputError) as ten:
            model_names([history], ["xyz"])
        night(made, 1, [Made(LEVELS, "m10")])
    with devbench.results.open_history(url) as history, pytest.raises(InputError) as eleven:
        model_names([history], ["xyz"])
    names = ", ".join(f"m{k:02d}" for k in range(10))
    assert (ten.value.hint, eleven.value.hint) == (f"there are {names}", f"there are {names}, …")
