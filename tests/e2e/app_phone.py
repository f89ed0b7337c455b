"""A virtual device that plays a phone with Google's benchmark APK: pm, am, log, logcat and pidof replay what is written.

No phone has been seen. The traffic is written from the documented formats: AOSP's `logcat -v threadtime`, its activity
manager's lines, Google's description of the app, and the tool's own text. In the traffic `@PID@` is the app's process,
and a line `@sleep N` a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PACKAGE = "org.tensorflow.lite.benchmark"

_LOG = """#!/bin/sh
# log -t TAG TEXT
echo "06-01 12:34:56.700  $$  $$ I $2: $3" >> "$DEVBENCH_VIRTUAL_ROOT/data/local/log"
"""
_LOGCAT = """#!/bin/sh
echo "$*" >> "$DEVBENCH_VIRTUAL_ROOT/data/local/logcat.asked"
exec tail -n 1 -f "$DEVBENCH_VIRTUAL_ROOT/data/local/log"
"""
_PIDOF = """#!/bin/sh
read -r pid < "$DEVBENCH_VIRTUAL_ROOT/data/local/app.pid" 2>/dev/null && [ -d /proc/$pid ] && echo $pid
"""
# The app's script ticks once a second; a tick is shorter here.
_SLEEP = """#!/bin/sh
[ "$1" = 1 ] && set -- 0.3
exec /bin/sleep "$@"
"""
_PM = """#!/bin/sh
here="$DEVBENCH_VIRTUAL_ROOT/data/local"
echo "$*" >> "$here/pm.asked"
case $1 in
path) cat "$here/pm.path" 2>/dev/null;;
install)
  for file; do :; done
  case $file in *.apk) ;; *) echo "Error: $file is no apk"; exit 1;; esac
  if [ -f "$here/pm.fails" ]; then cat "$here/pm.fails"; exit 1; fi
  echo "package:/data/app/~~$$==/org.tensorflow.lite.benchmark-1/base.apk" > "$here/pm.path"
  echo Success;;
esac
"""
_AM = """#!/bin/sh
here="$DEVBENCH_VIRTUAL_ROOT/data/local"
echo "$*" >> "$here/am.asked"
if [ "$1" = force-stop ]; then
  read -r pid < "$here/app.pid" && kill -9 $pid
  rm -f "$here/app.pid"
  exit 0
fi 2>/dev/null
if [ -f "$here/am.fails" ]; then cat "$here/am.fails"; exit 0; fi
for words; do :; done
graph=${words#*--graph=}; graph=${graph%% *}
[ -r "$graph" ] || { echo "Error: cannot read $graph"; exit 1; }
name=latency
case $words in *--enable_op_profiling=true*) name=profile;; esac
case $words in *--use_gpu=true*) name=gpu-$name;; esac
[ -f "$here/traffic/$name" ] || name=latency
echo "Starting: Intent { cmp=org.tensorflow.lite.benchmark/.BenchmarkModelActivity (has extras) }"
setsid sh "$here/app.sh" "$here" "$name" </dev/null >/dev/null 2>&1 &
echo "Status: ok"
"""
# The file appears with its text in it: a reader never finds it empty.
_APP = """echo $$ > "$1/app.new" && mv "$1/app.new" "$1/app.pid"
while IFS= read -r line; do
  case $line in
  "@sleep "*) sleep ${line#@sleep };;
  *) printf '%s\\n' "$line" | sed "s/@PID@/$$/g" >> "$1/log";;
  esac
done < "$1/traffic/$2"
"""


class AppPhone:
    """The files of such a device.

    Args:
        root: the virtual device's root directory.
    """

    def __init__(self, root: Path) -> None:
        self._here = root / "data" / "local"
        (self._here / "traffic").mkdir()
        (self._here / "log").write_text(line("an old line", tag="tflite", pid=77))
        (self._here / "app.sh").write_text(_APP)
        for name, text in (
            ("log", _LOG),
            ("logcat", _LOGCAT),
            ("pidof", _PIDOF),
            ("sleep", _SLEEP),
            ("pm", _PM),
            ("am", _AM),
        ):
            path = root / "system" / "bin" / name
            path.write_text(text)
            path.chmod(0o755)
        # It runs the virtual device's tool from its shell and installs apps for arm64.
        for name, mark in (
            ("build.prop", "ro.product.cpu.abilist={}"),
            ("properties", "[ro.product.cpu.abilist]: [{}]"),
        ):
            path = root / "system" / name
            path.write_text(path.read_text().replace(mark.format("virtual"), mark.format("virtual,arm64-v8a")))

    def plays(self, *lines: str, name: str = "latency") -> None:
        """What the app's log is when it is started for that; "gpu-" before the name where the GPU is asked for."""
        (self._here / "traffic" / name).write_text("".join(lines))

    def says(self, command: str, text: str) -> None:
        """Let `pm` or `am` fail with that text."""
        (self._here / f"{command}.fails").write_text(text)

    def asked(self, command: str, first_word: str = "") -> list[str]:
        """The command lines with which a command was called."""
        path = self._here / f"{command}.asked"
        lines = path.read_text().splitlines() if path.exists() else []
        return [words for words in lines if words.startswith(first_word)]

    def app_runs(self) -> bool:
        path = self._here / "app.pid"
        return path.exists() and Path("/proc", path.read_text().strip()).exists()

    def reinstall(self) -> None:
        """Somebody else installs the app."""
        (self._here / "pm.path").write_text("package:/data/app/~~other==/base.apk\n")


def line(message: str, *, level: str = "I", tag: str = "tflite", pid: int | str = "@PID@") -> str:
    return f"06-01 12:34:56.789  {pid}  {pid} {level} {tag:<8}: {message}\n"


def started() -> str:
    words = f"Start proc @PID@:{PACKAGE}/u0a123 for pre-top-activity {{{PACKAGE}/{PACKAGE}.BenchmarkModelActivity}}"
    return line(words, tag="ActivityManager", pid=1234)


def of_tool(text: str) -> list[str]:
    """The tool's own output as the app logs it: a message's further lines are lines of the log."""
    levels = {"INFO": "I", "WARN": "W", "WARNING": "W", "ERROR": "E"}
    found = []
    last = "I"
    for words in text.splitlines():
        level, colon, rest = words.partition(": ")
        known = bool(colon) and level in levels
        last = levels[level] if known else last
        found.append(line(rest if known else words, level=last))
    return found


def result(inference_us: float, before: Sequence[str] = (), after: Sequence[str] = ()) -> list[str]:
    summary = f"Inference timings in us: Init: 855, First inference: 4906, Warmup (avg): 3482.1, Inference (avg): {inference_us:g}"
    runs = [
        "count=1 curr=4906",
        f"count=50 first=3400 curr=3300 min=3300 max=3400 avg={inference_us:g} std=20",
    ]
    texts = ["STARTING!", "Loaded model /data/local/tmp/x", *before, *runs, summary, *after]
    return [started(), *(line(text) for text in texts)]
