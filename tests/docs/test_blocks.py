"""Every code block of README and docs runs, but for those that are marked: shell, Python, TOML, JSON.

One virtual device is connected, as a reader's only phone would be, and two runs are in the store. `SERIAL` in a block is
that device. `devbench` is a script that asks for few and short processes of the tool.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import connected_phone
from tests.docs.blocks import ROOT, Block, blocks_of, commands_of, pages
from tests.made.adb_servers import adb_server

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]

DATA = ROOT / "tests" / "data"
MODELS = {
    "model.tflite": "small_cnn",
    "models/face.tflite": "small_cnn",
    "models/unet.tflite": "tiny_groupnorm",
    "encoder/model.tflite": "tiny_conv",
    "text_encoder.tflite": "tiny_conv",
    "unet.tflite": "small_cnn",
    "image_decoder.tflite": "tiny_conv",
}
SHORT = (
    "--num-runs", "2", "--min-secs", "0", "--warmup-min-secs", "0", "--cool-down", "0", "--unreliable-retries", "0",
    "-r", "2",
)  # fmt: skip
# `devbench` of the blocks: the program, with few and short processes.
SCRIPT = f"""#!{sys.executable}
import sys
from devbench.cli.app import main
words = sys.argv[1:]
if words[:1] == ["run"] and not {{"--suite", "--pipeline", "--resume", "--help"}} & set(words):
    sys.argv += [word for word in {SHORT!r}]
sys.argv[0] = "devbench"
main()
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with the files that the pages name, a home and a connected device."""

    folder: Path
    environment: dict[str, str]
    serial: str

    def call(self, command: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command.replace("SERIAL", self.serial)],
            cwd=self.folder, env=self.environment, text=True, capture_output=True, timeout=timeout_s, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("docs")
    for name, source in MODELS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / f"{source}.tflite", folder / name)
    shutil.copy(ROOT / "tests" / "tool" / "logs" / "2.14-cpu.txt", folder / "old-log.txt")
    shutil.copy(ROOT / "docs" / "examples" / "mobile-sd.toml", folder / "mobile-sd.toml")
    (folder / "nightly.csv").write_text(
        "commit,latency_ms\n" + "".join(f"c{n},{2.5 + n % 3 / 100}\n" for n in range(40))
    )
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")
    script = folder / "bin" / "devbench"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    script.chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "DEVBENCH_HOME": str(folder / "home"), "NO_COLOR": "1", "COLUMNS": "120",
    }  # fmt: skip
    with adb_server() as port, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        patch.setenv("DEVBENCH_HOME", environment["DEVBENCH_HOME"])
        environment["ANDROID_ADB_SERVER_PORT"] = str(port)
        from devbench.virtual.faults import Faults

        with connected_phone(Faults(quiet=True), name="virtual-docs") as phone:
            made = Place(folder, environment, phone.address)
            for build in ("1233", "1234"):
                command = f"devbench run model.tflite -d SERIAL -r 3 --label build={build} --label branch=main"
                done = made.call(f"{command} --json run-{build}.json")
                assert done.returncode == 0, done.stdout + done.stderr
            yield made


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.exists() and blocks_of(page)], ids=lambda page: page.name
)
def test_the_blocks_of_a_page_run(page: Path, place: Place) -> None:
    wrong = [problem for block in blocks_of(page) if not block.setup for problem in _problems(block, place)]
    assert not wrong, "\n\n".join(wrong)


def _problems(block: Block, place: Place) -> Iterator[str]:
    if block.mark == "not run":
        return
    if block.mark == "file":
        file = place.folder / block.value
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, "utf-8")
    if block.language == "sh":
        for command in commands_of(block.text):
            done = place.call(command)
            if done.returncode not in ((0, 1) if block.mark == "may fail" else (0,)) or "Traceback" in done.stderr:
                yield f"{block.where}: {command}\nexit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
    elif block.language == "python":
        done = subprocess.run(
            [sys.executable, "-c", block.text], cwd=place.folder, env=place.environment, text=True, capture_output=True,
            timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            yield f"{block.where}\n{done.stderr[-3000:]}"
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        yield from _toml_problems(block, place)


def _toml_problems(block: Block, place: Place) -> Iterator[str]:
    """What devbench's own reader of such a file says."""
    file = place.folder / (block.value if block.mark == "file" else "block.toml")
    file.write_text(block.text, "utf-8")
    if re.search(r"^\[\[stage\]\]", block.text, re.MULTILINE):
        command = f"devbench run --pipeline {file.name} -d SERIAL --repetitions 1 --max-secs 1 --num-runs 1"
    elif re.search(r"^models = ", block.text, re.MULTILINE):
        command = f"devbench suite check {file.name}"
    elif re.search(r"^\[match\]", block.text, re.MULTILINE):
        profiles = Path(place.environment["DEVBENCH_HOME"]) / "device_profiles"
        profiles.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, profiles / "from-docs.toml")
        command = "devbench profiles show from-docs"
    else:
        command = f"devbench delegates --delegates-file {file.name}"
    done = place.call(command)
    if done.returncode:
        yield f"{block.where}: {command}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
