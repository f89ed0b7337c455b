"""The tool as an app: installed if needed, started, followed in the device's log, ended; knows no store.

A repetition is the same script as from the shell (`bench/script.py`), with the command that is made here. It
prints the raw lines of the log, so that they are on this machine's disk before they are parsed by `tool/apk.py`. Not
tested on a phone: the formats are those of AOSP and of Google's description (docs/apk.md).
"""

from __future__ import annotations

import contextlib
import gzip
import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from devbench.errors import DevbenchError, EnvironmentProblem, InputError
from devbench.tool.apk import ACTIVITY, MAX_BYTES, PACKAGE, read_recorded, start_line
from devbench.tool.measurement import Failure, FailureKind

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.bench.plan import Plan
    from devbench.bench.records import ProcessResult
    from devbench.device.depot import Depot
    from devbench.tool.binaries import Binary

STOP = f"am force-stop {PACKAGE}"

_ASK_TIMEOUT_S = 30.0
# Installing takes long, because the device optimises the app's code.
_INSTALL_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 10.0
_MAX_REASON = 300
_MAX_TAIL_BYTES = 4096
_SIGKILL = 9

# Hints for the reasons of pm, by a part of the reason.
_HINTS = {
    "UPDATE_INCOMPATIBLE": f"it was installed with another signature: adb uninstall {PACKAGE}",
    "NO_MATCHING_ABIS": "take the APK for the device's ABI: `devbench binaries list`",
    "INSUFFICIENT_STORAGE": "free some space on the device",
    "USER_RESTRICTED": "allow installing over USB in the device's developer options",
    "VERIFICATION": "turn off verifying apps over USB in the device's developer options",
    "OLDER_SDK": "the APK needs a newer Android",
}
_AM_SAID = re.compile(rb"^(?:Error\b|.*Exception\b|am: |.*not found).{0,300}", re.MULTILINE)


class InstallFailed(EnvironmentProblem):
    """The device did not install the APK; `reason` is its package manager's."""

    def __init__(self, serial: str, name: str, reason: str) -> None:
        hint = next((text for part, text in _HINTS.items() if part in reason), "or measure with --via shell")
        super().__init__(f"{serial} does not install {name}: {reason or 'it does not say why'}", hint=hint)
        self.serial, self.reason = serial, reason


def check_plan(plan: Plan) -> None:
    """Refuse what an app cannot do, before anything runs.

    Raises:
        InputError: names the option or delegate and the reason.
    """
    shell = "measure that with --via shell"
    if plan.output_check is not None:
        raise InputError("--via apk: outputs cannot be compared, since the app may write no file for them", hint=shell)
    if plan.stabilising.affinity:
        raise InputError("--via apk: affinity is not for an app, whose CPUs Android chooses", hint=shell)
    for case in plan.cases:
        delegate = case.delegate
        what = "environment variables" if delegate.env else "libraries of its own" if delegate.files else ""
        if not what and delegate.uses_cache:
            what = "a folder that the app may not write to"
        if what:
            raise InputError(f"--via apk: the delegate {delegate.name} needs {what}", hint=f"leave it out, or {shell}")
        start_line([f"--{name}={value}" for name, value in (*delegate.flags, *case.options.extra_flags)])


def install(device: Device, depot: Depot, root: str, binary: Binary) -> str:
    """Install the APK if it is not there already; returns the name of its activity.

    A file notes what was installed, with the path that Android gave it; the path changes with every installation.

    Raises:
        InstallFailed: with the package manager's own reason.
        DeviceFull, SyncFailed, ShellTimeout, DeviceLost and the errors of an unfit device.
    """
    stamp = shlex.quote(f"{root}/apk-installed")
    where = f'p=$(pm path {PACKAGE} 2>/dev/null </dev/null); [ -n "$p" ]'
    is_there = f'{where} && [ "$(cat {stamp} 2>/dev/null)" = "{binary.sha256} $p" ] && {STOP} </dev/null && echo there'
    asked = device.shell(is_there, timeout_s=_ASK_TIMEOUT_S, doing="looking for the benchmark APK")
    if asked.stdout.split()[-1:] == [b"there"]:
        return ACTIVITY
    stored = shlex.quote(depot.ensure(binary.path, sha256=binary.sha256).remote)
    # pm takes only names that end in .apk; a hard link needs no further space, if the device allows links.
    named = shlex.quote(f"{root}/benchmark.apk")
    script = (
        f"rm -f {stamp} {named}; ln {stored} {named} 2>/dev/null || cp {stored} {named} || exit 1\n"
        f"pm install -r -d -g {named} </dev/null; rm -f {named}"
    )
    done = device.shell(script, timeout_s=_INSTALL_TIMEOUT_S, doing="installing the benchmark APK")
    said = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")
    if not re.search(r"^Success\s*$", said, re.MULTILINE):
        raise InstallFailed(device.serial, binary.name, _reason(said))
    note = f'{where} && echo "{binary.sha256} $p" > {stamp} && echo noted'
    noted = device.shell(note, timeout_s=_ASK_TIMEOUT_S, doing="looking for the benchmark APK")
    if noted.stdout.split()[-1:] != [b"noted"]:
        raise InstallFailed(device.serial, binary.name, f"it was installed, and there is no {PACKAGE} afterwards")
    return ACTIVITY


def stop(device: Device) -> None:
    """End the app, if the device is still there."""
    with contextlib.suppress(DevbenchError):
        device.shell(STOP, timeout_s=_STOP_TIMEOUT_S, doing="ending the benchmark APK")


# Ticks in the log serve as a clock, since `read` has no timeout in every shell: the first tick shows that the log is
# followed, and the app is started; two ticks without a line between them show a second of silence. Shell built-ins are
# preferred, since each process takes device time from the app.
_SCRIPT = """(
chmod a+r @GRAPH@; chmod a+x @FOLDERS@; rm -f apk.am apk.logcat
( sleep 0.3; while :; do log -t devbench '@MARK@ tick'; sleep 1; done ) >/dev/null 2>&1 </dev/null &
_db_ticker=$!
sh -c 'echo $$ > apk.logcat; exec logcat -v threadtime -T 1 -s @TAGS@' | (
_db_pid= _db_first=1 _db_fresh= _db_result= _db_gone=0
while IFS= read -r _db_line; do
  case $_db_line in
  *' devbench'*': @MARK@ tick'*)
    if [ -n "$_db_first" ]; then
      _db_first=
      printf '%s\\n' "$_db_line"
      { @START@; echo "am:$?"; } > apk.am 2>&1 </dev/null &
      continue
    fi
    if [ -z "$_db_pid" ]; then
      while read -r _db_word; do case $_db_word in am:0) ;; Error*|*Exception*|am:*) break 2;; esac; done < apk.am
      _db_pid=$(pidof @PACKAGE@ </dev/null); _db_pid=${_db_pid%% *}
      [ -n "$_db_pid" ] && log -t devbench "@MARK@ pid $_db_pid" </dev/null
    elif [ ! -d /proc/$_db_pid ]; then
      _db_gone=$((_db_gone + 1)); [ $_db_gone -ge 2 ] && break
    fi
    [ -n "$_db_result" ] && [ -z "$_db_fresh" ] && break
    _db_fresh=;;
  *': @MARK@ pid '*) printf '%s\\n' "$_db_line";;
  *'Start proc '*':@PACKAGE@/'*)
    [ -n "$_db_first" ] && continue
    _db_pid=${_db_line#*Start proc }; _db_pid=${_db_pid%%:*}
    printf '%s\\n' "$_db_line";;
  *' tflite'*|*' libc '*|*' AndroidRuntime'*)
    [ -n "$_db_first" ] && continue
    case $_db_line in *" $_db_pid "*) ;; *) continue;; esac
    _db_fresh=1
    printf '%s\\n' "$_db_line"
    case $_db_line in *'Inference (avg): '*) _db_result=1;; esac;;
  *' DEBUG '*|*'@PACKAGE@'*) [ -z "$_db_first" ] && printf '%s\\n' "$_db_line";;
  esac
done
read -r _db_logcat < apk.logcat && kill $_db_logcat
[ -n "$_db_result" ]
); _db_ended=$?
kill $_db_ticker; @STOP@ >/dev/null </dev/null
cat apk.am >&2; rm -f apk.am apk.logcat
exit $_db_ended
)"""
_TAGS = "devbench:I tflite:V tflite_BenchmarkModelActivity:I libc:F DEBUG:F AndroidRuntime:E ActivityManager:I"


def build_shell(flags: Sequence[str], graph: str, folders: Sequence[str]) -> str:
    """Shell text of one repetition: start the app, print its log until it is done, end it.

    Args:
        flags: the tool's flags, each as `--name=value`.
        graph: the model on the device, which the app must be able to read.
        folders: those above it that belong to devbench.

    Raises:
        InputError: a flag contains a blank or a quote, which the app cannot take.
    """
    values = {
        "START": start_line(flags),
        "GRAPH": shlex.quote(graph),
        "FOLDERS": shlex.join(folders),
        "MARK": f"@@{secrets.token_hex(8)}",
        "TAGS": _TAGS,
        "PACKAGE": PACKAGE,
        "STOP": STOP,
    }
    # In one pass, so that a value that looks like a placeholder is not replaced.
    return re.sub(r"@([A-Z]+)@", lambda match: values[match.group(1)], _SCRIPT)


def interpret(ran: ProcessResult) -> ProcessResult:
    """A repetition as the log shows it. An app has no exit code; it is derived from how the app ended.

    The script's times include the start of the app and the wait for silence after it, so they are not the tool's
    times. The app's memory is not that of the script's process.
    """
    with gzip.open(ran.raw_file) as file:
        raw = file.read(MAX_BYTES)
    log = read_recorded(raw)
    failure, exit_code = ran.failure, None
    if failure is None and log is None:
        failure = Failure(FailureKind.TOOL_ERROR, f"the device's log cannot be followed: {_last_line(raw)}")
    elif failure is None and log is not None:
        exit_code = 0 if log.ending == "result" else 1
        if log.ending == "crash":
            exit_code = 128 + (log.signal or _SIGKILL)
            if log.exception:
                failure = Failure(FailureKind.CRASH, f"the app ended by {log.exception}")
            elif log.signal is None:
                failure = Failure(FailureKind.KILLED, "the system ended the app before its summary")
        elif log.ending == "none" and not log.text:
            said = _AM_SAID.search(raw)
            reason = said.group().decode("utf-8", "replace").strip() if said else "no process of it is in the log"
            failure = Failure(FailureKind.TOOL_ERROR, f"the app did not start: {reason}")
    output = replace(ran.output, exit_code=exit_code, on_device_ms=None, vm_hwm_kb=None, pss_peak_kb=None)
    return replace(ran, output=output, failure=failure)


def _reason(said: str) -> str:
    """pm's reason: the text in brackets after "Failure", else the last line."""
    match = re.search(r"Failure \[(.{1,300}?)\]", said)
    return match.group(1) if match else _last_line(said.encode())


def _last_line(data: bytes) -> str:
    lines = [line for line in data[-_MAX_TAIL_BYTES:].decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip()[:_MAX_REASON] if lines else ""
