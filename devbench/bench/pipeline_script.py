"""The shell script that is a session of a pipeline on the device; does no input or output.

It needs a shell, `cat`, `sleep` and `date`, and nothing that Android's mksh and toybox do not have. Each stage is one
process of the tool whose output a loop in the shell reads line by line, so that the script acts within a millisecond
of a line instead of asking again and again:

* "Initialized session" means loaded: a stage that has to wait for its turn is stopped there (SIGSTOP) and continues
  at its turn (SIGCONT).
* The `count=` lines end the tool's two phases: what the next stage waits for.
* A stage that stays in memory after its work writes its output into a pipe that is full and has no reader: it blocks
  there with everything loaded. The pipe is its own standard input, opened
  for writing by its name under /proc, since FIFOs may not be made in /data/local/tmp. A tool that writes no outputs is
  stopped at its last line instead.

A loop in the background writes the memory of each live stage with the time, RSS always and PSS if it is due. It is also
the watchdog: if its output is not read any more, or the deadline has passed, it ends the whole group, stopped
processes too.

Each line of the log begins with a random word. `WORD TIME STAGE MARK [VALUE]` is the script's own, `WORD STAGE|TEXT`
a line of the tool. `devbench/tool/parse/pipeline_log.py` reads it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from devbench.bench.pipeline_plan import SessionPlan, SessionStep

# mksh's echo takes backslashes in the tool's lines for its own; its `print` is built in, dash's `printf` is.
_FUNCTIONS = r"""
if [ -n "$KSH_VERSION" ]; then _dbp_say() { print -r -- "$1"; }; else _dbp_say() { printf '%s\n' "$1"; }; fi
if [ -n "$EPOCHREALTIME" ]; then _dbp_now() { _dbp_t=$EPOCHREALTIME; }; else _dbp_now() { _dbp_t=$(date +%s.%N); }; fi
_dbp_mark() { _dbp_now; _dbp_say "@WORD@ $_dbp_t $1"; }
_dbp_read() {
  _dbp_n=$1 _dbp_left=$2 _dbp_held=$3 _dbp_kept=$4 _dbp_p= _dbp_late= _dbp_ready=
  while IFS= read -r _dbp_l; do
    case $_dbp_l in
    "@WORD@ pid "*)
      _dbp_p=${_dbp_l##* }
      echo "$_dbp_n $_dbp_p" >> @PIDS@; echo "pid_$_dbp_n $_dbp_p" >&9
      [ -n "$_dbp_late" ] && kill -STOP "$_dbp_p"
      continue;;
    "@WORD@ exit "*)
      _dbp_mark "$_dbp_n gone ${_dbp_l##* }"
      echo "$_dbp_n 0" >> @PIDS@; echo "gone_$_dbp_n 1" >&9
      continue;;
    *"Initialized session in "*)
      if [ -z "$_dbp_ready" ]; then
        _dbp_ready=1
        if [ "$_dbp_held" = 1 ]; then { [ -n "$_dbp_p" ] && kill -STOP "$_dbp_p"; } || _dbp_late=1; fi
        _dbp_mark "$_dbp_n ready"; echo "ready_$_dbp_n 1" >&9
      fi;;
    *count=0|*"count=0 "*) ;;
    *count=[1-9]*)
      if [ "$_dbp_left" = 2 ]; then
        _dbp_left=1; echo "warm_$_dbp_n 1" >&9; _dbp_mark "$_dbp_n warm"
      elif [ "$_dbp_left" = 1 ]; then
        _dbp_left=0
        [ "$_dbp_kept" = stop ] && kill -STOP "$_dbp_p"
        _dbp_mark "$_dbp_n done"
        echo "done_$_dbp_n 1" >&9
      fi;;
    esac
    _dbp_say "@WORD@ $_dbp_n|$_dbp_l"
  done
}
_dbp_await() {
  while :; do
    eval "_dbp_v=\$_dbp_$1_$2"; [ -n "$_dbp_v" ] && return 0
    # A stage that ended by itself before its mark never gives it.
    eval "_dbp_v=\$_dbp_gone_$2"; [ -n "$_dbp_v" ] && { _dbp_mark "$2 lost $1"; return 1; }
    read -r _dbp_k _dbp_v <&8 || return 1
    eval "_dbp_$_dbp_k=\$_dbp_v"
  done
}
_dbp_signal() { _dbp_await pid $2 && eval "kill -$1 \$_dbp_pid_$2"; }
_dbp_sample() {
  _dbp_out=
  while read -r _dbp_k _dbp_v; do eval "_dbp_live_$_dbp_k=\$_dbp_v"; done < @PIDS@
  _dbp_now; _dbp_at=$_dbp_t
  for _dbp_s in @NUMBERS@; do
    eval "_dbp_p=\$_dbp_live_$_dbp_s"
    [ -n "$_dbp_p" ] && [ "$_dbp_p" != 0 ] && [ -d "/proc/$_dbp_p" ] || continue
    _dbp_pss= _dbp_rss= _dbp_hwm=
    while IFS=' 	' read -r _dbp_k _dbp_v _dbp_u; do
      case $_dbp_k in VmHWM:) _dbp_hwm=$_dbp_v;; VmRSS:) _dbp_rss=$_dbp_v; break;; esac
    done < "/proc/$_dbp_p/status"
    # The first time in any case: a stage may be gone before PSS is due again, and at its start it is small.
    eval "_dbp_v=\$_dbp_read_$_dbp_s; _dbp_read_$_dbp_s=1"
    [ "$1$_dbp_v" != 1 ] && while IFS=' 	' read -r _dbp_k _dbp_v _dbp_u; do
      case $_dbp_k in Pss:) _dbp_pss=$_dbp_v; break;; esac
    done < "/proc/$_dbp_p/smaps_rollup"
    _dbp_out="$_dbp_out $_dbp_s:$_dbp_pss:$_dbp_rss:$_dbp_hwm"
  done
  _dbp_say "@WORD@ $_dbp_at - memory$_dbp_out"
}
_dbp_uptime() { read -r _dbp_up _dbp_rest < /proc/uptime; _dbp_up=${_dbp_up%.*}${_dbp_up#*.}; }
_dbp_end() {
  while read -r _dbp_k _dbp_v; do [ "$_dbp_v" != 0 ] && kill -9 "$_dbp_v"; done < @PIDS@
}
_dbp_watch() {
  trap '' PIPE HUP
  _dbp_uptime; _dbp_limit=$((_dbp_up + @DEADLINE@00)) _dbp_due=0
  while :; do
    _dbp_uptime; _dbp_from=$_dbp_up _dbp_how=
    # Reading the page tables of gigabytes takes a core and keeps the stage from getting memory: at most a hundredth of
    # the time. RSS costs next to nothing.
    [ $_dbp_up -ge $_dbp_due ] && _dbp_how=whole
    [ -d /proc/$$ ] && [ $_dbp_up -lt $_dbp_limit ] && _dbp_sample $_dbp_how || { _dbp_end; kill -9 -$$; exit; }
    _dbp_uptime; [ -n "$_dbp_how" ] && _dbp_due=$((_dbp_up + 100 * (_dbp_up - _dbp_from)))
    sleep 0.1
  done 2>/dev/null
}
""".strip()


def build_session_script(
    plan: SessionPlan, commands: Sequence[str], *, word: str, pids_file: str, deadline_s: float
) -> str:
    """The script as text for the device's `sh`, to be run as one command.

    Args:
        plan: the stages and the steps.
        commands: the quoted command line of each stage.
        word: a random word, unique to this session; letters and digits.
        pids_file: a file on the device for the stages' process ids.
        deadline_s: the session is ended on the device after this time.
    """
    pids = shlex.quote(pids_file)
    functions = _FUNCTIONS
    values = {
        "WORD": word,
        "PIDS": pids,
        "NUMBERS": " ".join(str(number) for number in range(len(plan.stages))),
        "DEADLINE": str(max(1, round(deadline_s))),
    }
    for name, value in values.items():
        functions = functions.replace(f"@{name}@", value)
    lines = [
        functions,
        *(_starter(plan, number, command, word) for number, command in enumerate(commands)),
        f": > {pids} || exit 1",
        # A write to the first pipe never returns: it is always full. The second one carries the script's own messages.
        "cat /dev/zero | ( exec 7<&0",
        ": | ( exec 8<&0 9>/proc/self/fd/0 || exit 1",
        "_dbp_watch & _dbp_w=$!",
        "_dbp_run() {",
        *(f"  {_step(step)} || return 1" for step in plan.steps),
        "}",
        "_dbp_run; _dbp_c=$?",
        # Once more while everything that stays is there: a short session may have no sample of its end.
        "_dbp_sample whole 2>/dev/null; _dbp_mark '- end'",
        "kill -9 $_dbp_w 2>/dev/null; _dbp_end 2>/dev/null",
        "wait 2>/dev/null",
        f"rm -f {pids}; exit $_dbp_c",
        ") )",
    ]
    return "(\n" + "\n".join(lines) + "\n)"


def hold_flag(plan: SessionPlan, number: int) -> tuple[tuple[str, str], ...]:
    """The flag that keeps a stage in memory after its work, for its command line."""
    held = plan.stages[number].kept and plan.held_by == "output"
    return (("output_filepath", "/proc/self/fd/0"),) if held else ()


def _starter(plan: SessionPlan, number: int, command: str, word: str) -> str:
    """A function that starts a stage and its reader in the background."""
    stage = plan.stages[number]
    tool = f'{{ {command} <&7 2>&1 & echo "{word} pid $!"; wait $!; echo "{word} exit $?"; }} 2>/dev/null'
    phases = 2 if stage.warmup_runs else 1
    reader = f"_dbp_read {number} {phases} {int(stage.held)} {plan.held_by if stage.kept else 'no'}"
    return f"_dbp_start_{number}() {{ _dbp_mark '{number} start'; {{ {tool} | {reader}; }} & }}"


def _step(step: SessionStep) -> str:
    lines = {
        "begin": "_dbp_mark '- begin'",
        "start": f"_dbp_start_{step.stage}",
        "await": f"_dbp_await {step.mark} {step.stage}",
        # The mark comes first: what a held process does in the time of writing it must not be missing.
        "go": f"{{ _dbp_mark '{step.stage} go'; _dbp_signal CONT {step.stage}; }}",
        "drop": f"{{ _dbp_mark '{step.stage} drop'; _dbp_signal KILL {step.stage}; true; }}",
    }
    return lines[step.verb]
