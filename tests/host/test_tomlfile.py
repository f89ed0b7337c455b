"""Files that people write: what is wrong with them is one line each, with file, line, key and a suggestion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devbench.bench.suite import read_suite, suite_plan
from devbench.cli.suite import check
from devbench.device import profiles
from devbench.errors import InputError
from devbench.host.paths import shipped
from devbench.nightly.due import night_settings
from devbench.text import near
from devbench.tool import delegates, manifest


def suite(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(f'models = ["demo"]\n{text}')
    return path


def test_what_is_shipped_and_read_without_a_check_passes_the_check() -> None:
    for path in shipped("device_profiles").glob("*.toml"):
        profiles.check_file(path)
    delegates.check_file(Path(delegates.__file__).with_name("delegates.toml"))
    manifest.check_file(shipped("bench_bin") / "manifest.toml")


def test_reading_what_is_shipped_imports_no_pydantic() -> None:
    code = (
        "import sys\n"
        "from devbench.device.profiles import load_profiles\n"
        "from devbench.tool.delegates import load_delegates\n"
        "from devbench.tool.manifest import offers\n"
        "assert load_profiles() and load_delegates() and offers()\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


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


def test_a_delegate_of_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[mine]\nflags = { use_gpu = "true" }\ncach = "kept"\nrequire = "fulll"\n')
    with pytest.raises(InputError) as caught:
        delegates.load_delegates(path)
    assert caught.value.what == f"delegates {path}:3: mine.cach is not a key of mine"
    assert caught.value.hint == "did you mean cache?"
    assert caught.value.more[0].what == f"delegates {path}:4: mine.require 'fulll' is unknown"


def test_an_entry_of_a_manifest_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text('[[binary]]\nname = "a"\ntool = "tflit"\nversion = "1"\nabi = "x86"\nsha256 = "1"\n')
    with pytest.raises(InputError) as caught:
        manifest.check_file(path)
    said = [(one.what.removeprefix(f"manifest {path}:"), one.hint) for one in (caught.value, *caught.value.more)]
    assert said[0][0] == "1: binary 1 has no url"
    assert said[1] == ("3: binary.tool 'tflit' is unknown", "did you mean tflite?")
    assert said[2][0] == "6: binary.sha256 is not 64 hex digits"


def test_the_settings_of_a_night_are_those_of_the_suite(tmp_path: Path) -> None:
    found = night_settings(read_suite(suite(tmp_path, "[nightly]\nbaseline_nights = 3\nkeep_raw_days = 4\n")))
    assert (found.baseline_nights, found.keep_raw_days) == (3, 4)


def test_a_word_far_from_all_known_ones_gets_the_list() -> None:
    assert near("XNPACK", ["cpu", "xnnpack"], "use cpu") == "did you mean xnnpack?"
    assert near("brightness", ["cpu", "xnnpack"], "use cpu or xnnpack") == "use cpu or xnnpack"
