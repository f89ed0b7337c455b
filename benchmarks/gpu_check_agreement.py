"""Does `devbench models gpu-check` say what the stock tool then does: many models, each tried on a device.

    python benchmarks/gpu_check_agreement.py FOLDER --device SERIAL [--jobs 2] [--verbose]

Every .tflite in FOLDER and below goes to the device and is prepared and run once with `--use_gpu=true`. Three figures:
models whose outcome agrees (full, part, none, delegate fails, not loadable); models whose refused types of operators
agree, of those for which the tool lists any; fixes that gpu-check names and that change nothing when `rewrite` applies
them. Outcomes of earlier tries are kept in FOLDER/.tool.json by the model's hash; `--again` tries all of them again.

`benchmarks/gpu_check_corpus.py FOLDER` makes such a folder. Bars: 98 % of outcomes, all types, no fix in vain.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devbench.adb.device import Device
from devbench.adb.errors import ShellTimeout
from devbench.adb.server import AdbServer
from devbench.errors import DevbenchError
from devbench.models.gpu.report import make_report, verdict
from devbench.models.graph.read import read_model
from devbench.tool.binaries import choose

ROOT = "/data/local/tmp/devbench-agreement"
TIMEOUT_S = 120.0
LEAST_OUTCOMES = 0.98
_FLAGS = "--use_gpu=true --num_runs=1 --warmup_runs=0 --min_secs=0 --warmup_min_secs=0 --max_secs=20"
_REFUSED = re.compile(r"^(?:ERROR: )?([A-Za-z0-9_]+): \S")
_OUTCOMES = (
    ("not loadable", "Encountered unresolved custom op"),
    ("not loadable", "Select TensorFlow op(s)"),
    ("full", "will be completely executed"),
    ("part", "will be partially executed"),
    ("none", "will not be executed"),
    ("not loadable", "Failed to initialize the interpreter"),
    ("not loadable", "Failed to load model"),
    ("delegate fails", "Failed to apply GPU delegate"),
)


@dataclass(frozen=True)
class Answer:
    """What one side says of a model."""

    outcome: str
    refused: tuple[str, ...]
    said: str = ""


def read_tool(said: str) -> Answer:
    """The tool's answer in its output."""
    outcome = next((name for name, line in _OUTCOMES if line in said), "delegate fails")
    refused: set[str] = set()
    listing = False
    for line in said.splitlines():
        if "Following operations are not supported" in line:
            listing = True
        elif "operations will run on" in line:
            listing = False
        elif listing and (found := _REFUSED.match(line)):
            refused.add(found[1])
    return Answer(outcome, tuple(sorted(refused)), said)


def ask_gpu_check(path: Path) -> tuple[Answer, tuple[str, ...]]:
    """gpu-check's answer, and the fixes that it names."""
    report = make_report(read_model(path), None, path=path)
    refused = {one.operator.type for one in report.refusals if one.effect.value == "cpu"}
    fixes = tuple(sorted({group.fix for group in report.groups if group.fix}))
    return Answer(_outcome(report), tuple(sorted(refused)), verdict(report)), fixes


def _outcome(report: Any) -> str:
    found = report.estimate
    if found.blocked_by is not None:
        return "not loadable" if found.blocked_by.effect.value == "unloadable" else "delegate fails"
    return "full" if found.complete else "part" if found.delegated else "none"


def changes_nothing(path: Path, fix: str) -> bool:
    """Whether the rewrite has no place in the model."""
    from devbench.models.graph.file import load_model
    from devbench.models.rewrites.apply import apply_rewrites
    from devbench.models.rewrites.catalogue import RewriteOptions, chosen_rewrites

    return not apply_rewrites(load_model(path), chosen_rewrites([fix], []), RewriteOptions())


class Phone:
    """A device with the tool on it."""

    def __init__(self, serial: str) -> None:
        from devbench.device.facts import read_facts

        self.device = Device(AdbServer(), serial)
        binary = choose(read_facts(self.device).abis)
        self._shell(f"rm -rf {ROOT}; mkdir -p {ROOT}")
        self.device.push(binary.path, f"{ROOT}/tool", mode=0o755)

    def run(self, path: Path, place: int) -> Answer:
        graph = f"{ROOT}/{place}.tflite"
        self.device.push(path, graph)
        try:
            said = self._shell(f"{ROOT}/tool --graph={shlex.quote(graph)} {_FLAGS} 2>&1; rm {graph}")
        except ShellTimeout:
            said = ""
        return read_tool(said)

    def close(self) -> None:
        self._shell(f"rm -rf {ROOT}")

    def _shell(self, command: str) -> str:
        done = self.device.shell(command, timeout_s=TIMEOUT_S, doing="trying a model")
        return done.stdout.decode("utf-8", "replace")


def answers(models: list[Path], given: argparse.Namespace) -> Iterator[tuple[Path, Answer]]:
    """The tool's answers, from the device where they are not known yet."""
    memory = given.folder / ".tool.json"
    known: dict[str, Any] = {} if given.again or not memory.exists() else json.loads(memory.read_text("utf-8"))
    hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in models}
    missing = [path for path in models if hashes[path] not in known]
    if missing:
        phone = Phone(given.device)
        try:
            with ThreadPoolExecutor(given.jobs) as pool:
                found = pool.map(phone.run, missing, range(len(missing)))
                for number, (path, answer) in enumerate(zip(missing, found, strict=True), start=1):
                    known[hashes[path]] = asdict(answer)
                    if number % 20 == 0 or number == len(missing):
                        memory.write_text(json.dumps(known), "utf-8")
                        print(f"{number} of {len(missing)} tried", file=sys.stderr, flush=True)
        finally:
            phone.close()
    for path in models:
        one = known[hashes[path]]
        yield path, read_tool(one["said"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="the tool's output of every disagreement")
    given = parser.parse_args()
    models = sorted(given.folder.rglob("*.tflite"))
    right = typed = listed = named = vain = 0
    with tempfile.TemporaryDirectory():
        for path, tool in answers(models, given):
            try:
                ours, fixes = ask_gpu_check(path)
            except DevbenchError as error:
                ours, fixes = Answer("not loadable", (), str(error)), ()
            right += ours.outcome == tool.outcome
            listed += bool(tool.refused)
            typed += bool(tool.refused) and ours.refused == tool.refused
            useless = [fix for fix in fixes if changes_nothing(path, fix)]
            named, vain = named + len(fixes), vain + len(useless)
            if ours.outcome != tool.outcome or (tool.refused and ours.refused != tool.refused) or useless:
                print(f"{path.relative_to(given.folder)}: tool {tool.outcome} {list(tool.refused)}, "
                      f"gpu-check {ours.outcome} {list(ours.refused)} {useless or ''} ({ours.said})")  # fmt: skip
                if given.verbose:
                    print("    " + "\n    ".join(_telling(tool.said)))
    print(f"outcome: {right} of {len(models)} ({right / max(len(models), 1):.1%})")
    print(f"refused types: {typed} of {listed}")
    print(f"fixes that change nothing: {vain} of {named}")
    return 0 if right >= LEAST_OUTCOMES * len(models) and typed == listed and not vain else 1


def _telling(said: str) -> list[str]:
    """The lines of the tool's output that are no settings."""
    return [line[:220] for line in said.splitlines() if line and not line.startswith("INFO: ")][:14]


if __name__ == "__main__":
    sys.exit(main())
