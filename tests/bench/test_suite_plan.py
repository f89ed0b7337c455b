"""Suites as plans: what a run would refuse is said with file, line and key; models are fetched; time is expected."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from devbench.bench import suite as suites
from devbench.bench.suite import Suite, expected_durations, located, read_suite, suite_plan
from devbench.cli.suite import check
from devbench.errors import InputError, OptionError
from devbench.nightly.due import night_settings
from tests.conftest import DATA


def suite(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(f'models = ["demo"]\n{text}')
    return path


def test_all_errors_of_a_file_are_found_at_once_in_its_order(tmp_path: Path) -> None:
    path = suite(tmp_path, 'profile = "yes"\nrepititions = 3\n[conditions]\ncool_down = "long"\n')
    with pytest.raises(InputError) as caught:
        read_suite(path)
    said = [one.what for one in (caught.value, *caught.value.more)]
    assert [line.removeprefix(f"suite {path}:") for line in said] == [
        "2: profile is not true or false",
        "3: repititions is not a key of a suite",
        "5: conditions.cool_down is not a number",
    ]
    assert caught.value.more[0].hint == "did you mean repetitions?"


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ('delegates = ["cpu",\n"xnpack"]\n', "3: delegates: unknown delegate 'xnpack'", "did you mean xnnpack?"),
        ('require = "ful"\n', "2: require 'ful' is unknown", "did you mean full?"),
        ('via = "apks"\n', "2: via 'apks' is unknown", "did you mean apk?"),
        ('precision = "x"\n', "2: precision 'x' is not a share", "2%"),
        ("threads = [1, 300]\n", "2: threads is not a list of numbers of threads", "numbers of CPU threads"),
        ('tool_flags = ["a=1", "b c"]\n', "2: tool_flags", ""),
        ('signatures = ["nope"]\n', "2: signatures", ""),
        ('[conditions]\nstabilise = ["awake", "screenoff"]\n', "3: conditions.stabilise 'screenoff'", "screen-off"),
        ('delegates_file = "gone.toml"\n', "2: delegates_file", "check the path"),
        ('shapes = ["nope=1x2"]\n', "2: shapes", ""),
        ('[nightly]\nperiod = "x"\n', "3: nightly.period: period 'x' is not known", "night"),
        ('[nightly]\ndevice_wait = "x"\n', "3: nightly.device_wait", "90s"),
        ('[nightly]\nunreliable = "counts"\n', "3: nightly.unreliable 'counts' is unknown", "did you mean count?"),
        (f'binary = "{"n" * 300}"\n', "2: binary: no binary 'nnn", "devbench binaries list"),
        ('binary = "nope"\n', "2: binary: no binary 'nope'", "devbench binaries list"),
        ('devices = ["virtual:1000"]\n', "2: devices virtual:1000: 1000 virtual devices", "1 to 64"),
        ('[inputs]\nx = "gone.npy"\n', "2: inputs x: the model has no such input", ""),
        ('reference = "x"\n', "reference 'x' is not one of its models", "small_unet"),
        (f'[labels]\n{"k" * 201} = "x"\n', "3: labels.k", "shorten it"),
    ],
)
def test_a_check_of_a_suite_finds_with_its_line_what_a_run_would_refuse(
    tmp_path: Path, text: str, what: str, hint: str
) -> None:
    path = suite(tmp_path, text)
    with pytest.raises(InputError) as caught:
        check(path, None)
    assert what in caught.value.what.replace(f"suite {path}:", "")
    assert str(path) in caught.value.what
    assert hint in caught.value.hint


def test_a_model_that_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text('models = [\n"demo",\n"gone.tflite"]\n')
    with pytest.raises(InputError, match=r"suite\.toml:3: models: .*gone\.tflite"):
        suite_plan(read_suite(path))


def test_a_model_with_a_name_that_is_too_long_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(f'models = ["{"m" * 300}"]\n')
    with pytest.raises(InputError, match=r"suite\.toml:1: models: .*too long"):
        suite_plan(read_suite(path))


def test_the_settings_of_a_night_are_those_of_the_suite(tmp_path: Path) -> None:
    found = night_settings(read_suite(suite(tmp_path, "[nightly]\nbaseline_nights = 3\nkeep_raw_days = 4\n")))
    assert (found.baseline_nights, found.keep_raw_days) == (3, 4)


def test_an_error_that_no_line_of_the_file_caused_names_the_file_or_stays(tmp_path: Path) -> None:
    found = read_suite(suite(tmp_path, "repetitions = 3\n"))
    other = InputError("the disk is full", hint="make room")
    assert located(found, other) is other
    absent = located(found, OptionError("--precision 'x' is no share", hint="2%", option="precision"))
    assert (absent.what, absent.hint) == (f"suite {found.path}: --precision 'x' is no share", "2%")
    whole = located(found, OptionError("the number is odd", hint="even", option="repetitions"))
    assert (whole.what, whole.hint) == (f"suite {found.path}:2: repetitions: the number is odd", "even")


def test_an_error_of_one_of_several_inputs_names_the_line_of_that_input(tmp_path: Path) -> None:
    found = read_suite(suite(tmp_path, '[inputs]\nx = "a.npy"\n"y=1" = "b.npy"\n'))
    error = OptionError("the model has no such input", hint="h", option="inputs", value="y=1=/b.npy")
    assert located(found, error).what == f"suite {found.path}:4: inputs.y=1: the model has no such input"


def test_an_error_of_a_model_names_the_line_of_its_table(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(
        f'models = [\n"demo",\n{{path = "b.tflite", name = "b"}},\n{{url = "https://x.org/c.tflite", sha256 = "{"a" * 64}"}}]\n'
    )
    given = Suite(path, "suite", ())
    assert located(given, InputError("b.tflite is no model")).what.startswith(f"suite {path}:3: models: b.tflite")
    assert located(given, InputError("https://x.org/c.tflite is gone")).what.startswith(f"suite {path}:4: models: ")


def test_a_model_of_a_url_is_fetched_and_named_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = DATA / "tiny_conv.tflite"
    asked = []

    def fetch(url: str, digest: str) -> Path:
        asked.append((url, digest))
        return Path(model)

    monkeypatch.setattr(suites, "fetch_model", fetch)
    digest = sha256(model.read_bytes()).hexdigest()
    path = tmp_path / "suite.toml"
    remote = f'{{url = "https://x.org/models/my%20net.tflite?token=1", sha256 = "{digest}"}}'
    path.write_text(f'models = [{remote}]\ndelegates = ["cpu"]\nreference = "my net"\nthreads = [1, 2]\n')
    plan = suite_plan(read_suite(path))
    assert asked == [("https://x.org/models/my%20net.tflite?token=1", digest)]
    assert [(case.model.name, case.options.num_threads) for case in plan.cases] == [("my net", 1), ("my net", 2)]
    assert {case.model.path for case in plan.cases} == {Path(model)}


class History:
    """A store that knows how long processes took: of a case by its text, or of model and delegate together."""

    def __init__(self, known: dict[str | None, float]) -> None:
        self.known = known
        self.asked: list[tuple[str, str, str, str | None]] = []

    def typical_duration_s(self, model: str, delegate: str, *, via: str, case: str | None) -> float | None:
        self.asked.append((model, delegate, via, case))
        return self.known.get(case)


def test_the_expected_time_is_that_of_the_case_else_of_its_delegate_else_a_guess(tmp_path: Path) -> None:
    text = 'delegates = ["cpu"]\nthreads = [1, 4]\nrepetitions = 4\nmin_secs = 3.0\nwarmup_min_secs = 0.25\n'
    plan = suite_plan(read_suite(suite(tmp_path, text)))
    steps = plan.limits.steps
    assert steps > 4

    def durations(**known: Any) -> list[tuple[float, bool]]:
        store: Any = History({None if case == "any" else plan.cases[1].text("shell"): s for case, s in known.items()})
        found = expected_durations(store, plan)
        assert {(model, delegate, via) for model, delegate, via, _ in store.asked} == {("small_unet", "cpu", "shell")}
        return found

    assert durations(case=7.0, any=5.0) == [(5.0 * steps, True), (7.0 * steps, True)]
    guess = (3.25 + 1.5) * steps
    assert durations(case=7.0) == [(guess, False), (7.0 * steps, True)]
    quick = replace(plan, cases=plan.cases[:1])
    assert expected_durations(History({}), quick) == [(guess, False)]  # type: ignore[arg-type]


def test_a_url_that_cannot_be_one_is_refused_without_its_secret(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    for url in ("ftp://x.org/c.tflite", "https://", "https://[x/c.tflite"):
        path.write_text(f'models = [\n{{url = "{url}", sha256 = "{"a" * 64}"}}]\n')
        with pytest.raises(InputError, match=r"suite\.toml:2: .*is not a URL"):
            read_suite(path)
