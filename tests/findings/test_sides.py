"""Which runs the two sides of a comparison are, and which devices and models a person's words name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import devbench.results
from devbench.errors import InputError
from devbench.findings.sides import choose_sides, device_keys, model_names
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
