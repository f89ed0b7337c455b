"""Plausible mistakes at the command line: one line on standard error that names the input and the next step.

Each row has what was typed, the exit code, and words of the line in the order in which they stand there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devbench.cli.app import main
from tests.conftest import DATA

MODEL = str(DATA / "tiny_conv.tflite")
SUITES = {
    "key.toml": f'models = ["{MODEL}"]\ndelegate = ["cpu"]\n',
    "value.toml": f'models = ["{MODEL}"]\ndelegates = ["xnpack"]\n',
    "number.toml": f'models = ["{MODEL}"]\nrepetitions = "three"\n',
    "range.toml": f'models = ["{MODEL}"]\nrepetitions = 0\n',
    "broken.toml": "models = [\n",
    "empty.toml": "",
    "gone.toml": 'models = ["gone.tflite"]\n',
    "good.toml": f'models = ["{MODEL}"]\n',
    "pipeline.toml": 'name = "p"\n[[stage]]\nname = "a"\nmodel = "gone.tflite"\n',
}
MISTAKES: list[tuple[str, int, list[str]]] = [
    # Commands and subcommands.
    ("rum model.tflite", 2, ["'rum'", "did you mean run?"]),
    ("benchmark model.tflite", 2, ["'benchmark'", "devbench run"]),
    ("model.tflite", 2, ["'model.tflite'", "devbench run model.tflite"]),
    ("help", 2, ["'help'", "devbench --help"]),
    ("xyzzy", 2, ["'xyzzy'", "devbench --help"]),
    ("device", 2, ["'device'", "devices"]),
    ("devices show R5CT", 2, ["devbench devices", "'show'", "devbench devices --help"]),
    ("devices conect 1.2.3.4:5555", 2, ["'conect'", "did you mean connect?"]),
    ("models inspekt demo", 2, ["devbench models", "'inspekt'", "did you mean inspect?"]),
    ("binaries downlaod", 2, ["devbench binaries", "'downlaod'", "--help"]),
    ("models", 2, ["devbench models needs a command", "inspect"]),
    ("suite", 2, ["devbench suite needs a command", "check"]),
    ("--verison", 2, ["--verison", "did you mean --version?"]),
    # Options.
    (f"run {MODEL} --delgate gpu", 2, ["devbench run", "--delgate", "did you mean --delegate?"]),
    (f"run {MODEL} --reps 3", 2, ["devbench run", "--reps", "did you mean"]),
    (f"run {MODEL} -Z", 2, ["devbench run", "-Z", "devbench run --help"]),
    (f"run {MODEL} --device", 2, ["--device needs a value", "devbench devices"]),
    (f"run {MODEL} --quiet=yes", 2, ["--quiet", "takes no value", "--help"]),
    ("report latest previous", 2, ["devbench report", "'previous'", "devbench report --help"]),
    ("chart", 2, ["devbench chart needs KIND", "devbench chart latency"]),
    ("nightly", 2, ["devbench nightly needs SUITE", "devbench nightly nightly.toml"]),
    ("accuracy", 2, ["devbench accuracy needs", "devbench accuracy model.tflite"]),
    ("prune", 2, ["devbench prune needs --older-than or --host", "90d"]),
    ("prune --older-than 90d --host lab3", 2, ["both --older-than and --host"]),
    # Numbers and words of options.
    (f"run {MODEL} -r three", 2, ["--repetitions 'three'", "from 1 to 1000"]),
    (f"run {MODEL} -r 0", 2, ["--repetitions 0", "from 1 to 1000"]),
    (f"run {MODEL} --timeout ten", 2, ["--timeout 'ten'", "from 1"]),
    (f"run {MODEL} -t many", 2, ["'many'", "--threads 1,4"]),
    (f"run {MODEL} --require most", 2, ["--require 'most'", "full"]),
    (f"run {MODEL} --via adb", 2, ["--via 'adb'", "shell"]),
    (f"run {MODEL} --precision two", 2, ["--precision 'two'", "2%"]),
    (f"run {MODEL} --wait soon", 2, ["'soon'", "10m"]),
    (f"run {MODEL} --label x", 2, ["--label 'x'", "build=1234"]),
    (f"run {MODEL} --tool-flag use_gpu", 2, ["use_gpu", "="]),
    (f"run {MODEL} --stabilise awaik", 2, ["awaik", "awake"]),
    (f"run {MODEL} --input-shape 1xtwo", 2, ["1xtwo", "1x"]),
    (f"run {MODEL} --min-snr 20", 2, ["--min-snr", "--check-outputs"]),
    ("compare --format pdf", 2, ["--format 'pdf'", "md"]),
    ("compare --fail-on regresed", 2, ["--fail-on 'regresed'", "did you mean regressed?"]),
    ("compare --metric latensy", 2, ["--metric 'latensy'", "did you mean latency?"]),
    ("compare --threshold latency=2", 2, ["--threshold 'latency=2'", "latency=2%"]),
    ("compare --alpha 5", 2, ["--alpha 5", "between 0 and 1"]),
    ("detect --since yesterday", 2, ["--since 'yesterday'", "30d"]),
    ("detect --fail-on wors", 2, ["--fail-on 'wors'", "did you mean worse?"]),
    ("detect --smallest big", 2, ["--smallest 'big'", "2%"]),
    ("detect --column latency", 2, ["--column", "--csv FILE"]),
    ("prune --older-than 5", 2, ["'5'", "90d"]),
    ("export out --format csv", 2, ["--format 'csv'", "jsonl"]),
    ("chart latensy", 2, ["latensy", "latency"]),
    ("serve --port 99999", 2, ["--port 99999", "65535"]),
    ("models rewrite demo", 2, ["needs IN and OUT", "devbench models rewrite"]),
    ("models rewrite demo out.tflite --only gelu", 2, ["gelu", "stable-gelu"]),
    ("models rewrite demo out.tflite --along both", 2, ["--along 'both'", "input"]),
    # Files.
    ("run gone.tflite", 2, ["gone.tflite does not exist", "demo"]),
    ("run modle.tflite", 2, ["modle.tflite does not exist", "did you mean model.tflite?"]),
    ("run https://example.com/m.tflite", 2, ["https://example.com/m.tflite", "download it"]),
    ("run model.tflite --out notes.md", 2, ["notes.md: it is a file", "name of a folder"]),
    ("runs --store gone.db", 2, ["gone.db", "devbench run"]),
    ("models rewrite demo /none/x.tflite", 2, ["/none/x.tflite", "make the folder"]),
    ("models build mobile-sdd --out x", 2, ["'mobile-sdd'", "did you mean mobile-sd?"]),
    ("-d virtual", 2, ["devbench: unknown option -d", "devbench --help"]),
    ("run folder", 2, ["folder", ".tflite"]),
    ("run weights.pt", 2, ["weights.pt", ".tflite"]),
    ("run empty.tflite", 2, ["empty.tflite is empty", ".tflite"]),
    ("run a.tflite --suite good.toml", 2, ["models", "--suite"]),
    ("run", 2, ["needs a model", "devbench run model.tflite"]),
    (f"run {MODEL} --json /none/r.json", 2, ["/none/r.json", "make the folder"]),
    (f"run {MODEL} --json folder", 2, ["folder", "name of a file"]),
    (f"run {MODEL} --delegates-file none.toml", 2, ["none.toml"]),
    (f"run {MODEL} --store nosuchdb://x", 2, ["nosuchdb"]),
    ("models inspect weights.pt", 2, ["weights.pt", ".tflite"]),
    ("parse none.log", 2, ["none.log", "give a log"]),
    ("parse notes.md", 1, ["notes.md", "docs/parse.md"]),
    ("import none", 2, ["none", "devbench export"]),
    # Suites.
    ("run --suite none.toml", 2, ["none.toml"]),
    ("suite check key.toml", 2, ["key.toml:2", "delegate", "did you mean delegates?"]),
    ("suite check value.toml", 2, ["value.toml:2", "xnpack", "did you mean xnnpack?"]),
    ("suite check number.toml", 2, ["number.toml:2", "repetitions"]),
    ("suite check range.toml", 2, ["range.toml:2", "repetitions"]),
    ("suite check broken.toml", 2, ["broken.toml", "fix the file"]),
    ("suite check empty.toml", 2, ["empty.toml", "models"]),
    ("suite check gone.toml", 2, ["gone.toml", "gone.tflite"]),
    ("run --pipeline pipeline.toml", 2, ["pipeline.toml:4", "gone.tflite", "looked for at"]),
    ("run --suite good.toml --threads 4", 2, ["--threads with --suite", "write it in the suite"]),
    ("run demo --steps 4", 2, ["--steps is for pipelines", "--pipeline FILE"]),
    # Delegates, binaries, runs, profiles.
    (f"run {MODEL} -D gpuu", 2, ["delegate 'gpuu'", "did you mean gpu?"]),
    (f"run {MODEL} -D cuda", 2, ["delegate 'cuda'", "devbench delegates"]),
    (f"run {MODEL} -d virtual --binary none", 2, ["no binary 'none'"]),
    (f"run {MODEL} -d virtual:0", 2, ["virtual:0", "1 to 64"]),
    ("binaries fetch --abi arm64", 2, ["'arm64'", "did you mean arm64-v8a?"]),
    ("binaries fetch", 2, ["needs a name or --abi", "arm64-v8a"]),
    ("show lastest", 2, ["'lastest'", "did you mean latest?"]),
    ("profiles show galxy-s23", 2, ["'galxy-s23'", "did you mean galaxy-s23?"]),
    # Devices.
    (f"run {MODEL}", 3, ["no device is connected", "--device virtual"]),
    (f"run {MODEL} -d R5CT0000000", 3, ["R5CT0000000", "devbench devices"]),
    (f"run {MODEL} -d 127.0.0.1:9", 3, ["127.0.0.1:9", "connection refused", "address and port"]),
    (f"run {MODEL} -d virtuall", 3, ["'virtuall'", "did you mean virtual?"]),
    (f"run {MODEL} -d tag:nigthly", 2, ["nigthly", "devbench devices tag"]),
    ("devices connect 192.168.1.20", 2, ["'192.168.1.20' is not HOST:PORT", "192.168.1.20:5555"]),
    ("devices connect 127.0.0.1:9", 3, ["127.0.0.1:9", "refused"]),
    ("devices release R5CT0000000", 3, ["R5CT0000000", "devbench devices"]),
    ("nightly good.toml --webhook hooks.slack.com/x", 2, ["webhook", "https://"]),
    ("nightly good.toml --period weekly", 2, ["weekly", "7d"]),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_adb_server: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "weights.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    (tmp_path / "empty.tflite").write_bytes(b"")
    (tmp_path / "model.tflite").write_bytes(Path(MODEL).read_bytes())
    (tmp_path / "notes.md").write_text("# Notes\n\nNothing of the tool.\n")
    for name, text in SUITES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEVBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DEVBENCH_STORE", raising=False)


@pytest.mark.parametrize(("typed", "code", "words"), MISTAKES, ids=[typed for typed, _, _ in MISTAKES])
def test_a_mistake_is_one_line(
    typed: str, code: int, words: list[str], folder: None, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["devbench", *typed.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == code, printed
    [line] = printed.err.splitlines()
    assert printed.out == ""
    assert line.startswith("error: ")
    assert "→" in line, "a next step"
    assert len(line) <= 240, "two lines of a terminal"
    at = 0
    for word in words:
        at = line.find(word, at)
        assert at >= 0, f"{word!r} in {line!r}"
