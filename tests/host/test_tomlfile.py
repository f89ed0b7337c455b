"""Files that people write: what is wrong with them is one line each, with file, line, key and a suggestion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devbench.device import profiles
from devbench.errors import InputError
from devbench.host.paths import shipped
from devbench.text import near
from devbench.tool import delegates, manifest


def test_what_is_shipped_and_read_without_a_check_passes_the_check() -> None:
    for path in shipped("device_profiles").glob("*.toml"):
        profiles.read_profile(path)
    delegates.read_delegates(Path(delegates.__file__).with_name("delegates.toml"))
    manifest.read_manifest(shipped("bench_bin") / "manifest.toml")


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
        manifest.read_manifest(path)
    said = [(one.what.removeprefix(f"manifest {path}:"), one.hint) for one in (caught.value, *caught.value.more)]
    assert said[0][0] == "1: binary 1 has no url"
    assert said[1] == ("3: binary.tool 'tflit' is unknown", "did you mean tflite?")
    assert said[2][0] == "6: binary.sha256 is not 64 hex digits"


def test_a_word_far_from_all_known_ones_gets_the_list() -> None:
    assert near("XNPACK", ["cpu", "xnnpack"], "use cpu") == "did you mean xnnpack?"
    assert near("brightness", ["cpu", "xnnpack"], "use cpu or xnnpack") == "use cpu or xnnpack"
