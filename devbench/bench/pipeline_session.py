"""A session of a pipeline on the device: the shell script that it is, and what its log means. Does no input or output.

The script needs a shell, `cat`, `sleep` and `date`, and nothing that Android's mksh and toybox do not have. Each stage
is one process of the tool whose output a loop in the shell reads line by line, so that the script acts within a
millisecond of a line instead of asking again and again:

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
from dataclasses import replace
from itertools import islice
from typing import Literal

from devbench import numbers
from devbench.analysis.pipeline import memory_over_time, peak_kb
from devbench.bench.pipeline import SessionPlan, SessionStep
from devbench.bench.plan import Case
from devbench.results.records import MemoryKind, PipelineSampleRecord, PipelineStageRecord
from devbench.tool.failures import classify
from devbench.tool.measurement import Failure, FailureKind, Measurement, RunStats
from devbench.tool.parse import parse_text
from devbench.tool.parse.pipeline_log import SessionLog, StageLog

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
_dbp_sleep() {
  [ $1 -gt 0 ] || return 0
  _dbp_c=$(($1 % 100)); [ ${#_dbp_c} = 1 ] && _dbp_c=0$_dbp_c
  sleep $(($1 / 100)).$_dbp_c
}
_dbp_hold() {
  _dbp_signal STOP $1; _dbp_mark "$1 hold"
  _dbp_uptime; [ -n "$_dbp_turn" ] || _dbp_turn=$((_dbp_up - _dbp_since))
}
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
        # One more sample while all kept stages are in memory: a short session may have no other sample of its end.
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
    hundredths = round(100 * step.seconds)
    lines = {
        "begin": "_dbp_mark '- begin'",
        "start": f"_dbp_start_{step.stage}",
        "await": f"_dbp_await {step.mark} {step.stage}",
        # Write the mark first, so that nothing is missed that a held process does meanwhile.
        "go": f"{{ _dbp_mark '{step.stage} go'; _dbp_uptime; _dbp_since=$_dbp_up; _dbp_signal CONT {step.stage}; }}",
        "hold": f"_dbp_hold {step.stage}",
        "sleep": f"_dbp_sleep {hundredths}",
        "turn": f"_dbp_sleep $((_dbp_turn - {hundredths}))",
        "drop": f"{{ _dbp_mark '{step.stage} drop'; _dbp_signal KILL {step.stage}; true; }}",
    }
    return lines[step.verb]


# A hostile or endless log must not fill the store; this is half an hour of ten stages at ten samples per second.
_MAX_SAMPLES = 200_000
_TIMES = ("start_s", "ready_s", "go_s", "warm_s", "done_s", "gone_s")


def session_failure(
    log: SessionLog, plan: SessionPlan, cases: Sequence[Case], argvs: Sequence[Sequence[str]]
) -> Failure | None:
    """Why a session has no latency: the first stage that failed, with its name. `None` if it has one."""
    for number, (stage, case, argv) in enumerate(zip(plan.stages, cases, argvs, strict=True)):
        seen = log.stage(number)
        if seen.start_s is None and log.lost is not None:
            continue
        failure = stage_failure(seen, case, argv)
        if failure is not None:
            return Failure(failure.kind, f"{stage.name}: {failure.message}")
    if end_s(log, plan) is None:
        return Failure(FailureKind.OUTPUT_INCOMPLETE, "the session did not come to its end")
    if any(not _in_order(log.stage(number)) for number in range(len(plan.stages))):
        return Failure(FailureKind.TOOL_ERROR, "the device's clock was set while the session ran")
    return None


def stage_failure(seen: StageLog, case: Case, argv: Sequence[str]) -> Failure | None:
    """Why a stage failed. The session ends processes whose inferences are done, before they print their summary."""
    measured = parse_text(seen.text)
    exit_code = seen.exit_code
    if seen.done_s is not None:
        exit_code = 0
        told = measured.failure
        if told is not None and told.kind in (FailureKind.OUTPUT_INCOMPLETE, FailureKind.KILLED):
            told = None
        average = measured.inference_avg_us if measured.inference_avg_us is not None else 0.0
        measured = replace(measured, status="ok", failure=told, inference_avg_us=average)
    return classify(measured, delegate=case.delegate, require=case.require, exit_code=exit_code, argv=argv)


def end_s(log: SessionLog, plan: SessionPlan) -> float | None:
    """The end of the last stage; `None` if it was not reached.

    A stage of less than a millisecond can be through before it could be stopped: it ends at its turn then.
    """
    last = log.stage(len(plan.stages) - 1)
    if not log.began or last.done_s is None:
        return None
    at = max(last.done_s, last.go_s if last.go_s is not None else last.done_s)
    return at if at > 0 else None


def _in_order(seen: StageLog) -> bool:
    times = [at for at in (getattr(seen, name) for name in _TIMES if name != "go_s") if at is not None]
    return times == sorted(times)


def _wall_ms(seen: StageLog, turn_s: float | None, runs: RunStats | None) -> float | None:
    """Milliseconds from the start of a stage's turn to its end.

    If the stage had finished before it could be stopped: the tool's average times its number of inferences.
    """
    if turn_s is None or seen.done_s is None or seen.done_s >= turn_s:
        return _ms(turn_s, seen.done_s)
    average = _phase_ms(runs, "avg_us")
    return None if average is None or runs is None or not runs.count else average * runs.count


def stage_records(
    log: SessionLog, plan: SessionPlan, argvs: Sequence[tuple[str, ...]]
) -> tuple[PipelineStageRecord, ...]:
    """Each stage of a session as the store keeps it; `argvs` are the stages' command lines."""
    found: list[PipelineStageRecord] = []
    alone = plan.residency == "alone"
    kept = log.stage(plan.keep) if plan.keep is not None else None
    for number, (stage, argv) in enumerate(zip(plan.stages, argvs, strict=True)):
        seen = log.stage(number)
        measured = parse_text(seen.text)
        runs = measured.runs
        warm = measured.warmup if stage.warmup_runs else None
        wait_ms = 0.0
        # In a pipelined session, only the stage that stays and those after it are held; the latter wait for its end.
        if kept is not None and stage.held and number != plan.keep and seen.go_s is not None:
            ends = [
                at for at in (*(held for held, _ in kept.pauses), kept.done_s) if at is not None and at <= seen.go_s
            ]
            wait_ms = _ms(max(ends), seen.go_s) or 0.0 if ends else 0.0
        paused_ms = sum(1000 * (until - held) for held, until in seen.pauses)
        wall_ms = _wall_ms(seen, seen.go_s if stage.held else seen.ready_s, runs)
        releases = plan.residency == "sequential" and number < len(plan.stages) - 1
        found.append(
            PipelineStageRecord(
                position=stage.position if plan.images == 1 else number,
                name=stage.name,
                job_number=stage.job_number,
                repeated=stage.repeated,
                runs=stage.runs,
                overlapped_runs=0 if alone else stage.overlapped,
                argv=argv,
                held_by=plan.held_by if stage.kept else "",
                loaded_before=stage.held,
                init_ms=_init_ms(measured, seen.text),
                load_ms=_ms(seen.start_s, seen.ready_s),
                wait_ms=wait_ms,
                wall_ms=None if wall_ms is None else round(wall_ms - paused_ms, 3),
                first_ms=None if stage.held else _phase_ms(warm or runs, "first_us"),
                steady_ms=_phase_ms(runs, "avg_us") if alone else _steady_ms(warm if stage.warmup_runs else runs),
                overlapped_ms=_phase_ms(runs, "avg_us") if stage.overlapped and not alone else None,
                release_ms=(_ms(seen.done_s, seen.gone_s) or 0.0) if releases else 0.0,
                hwm_kb=log.hwm_kb.get(number),
                **{name: getattr(seen, name) for name in _TIMES},
            )
        )
    return tuple(found)


def _ms(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else round(1000 * (end_s - start_s), 3)


def _init_ms(measured: Measurement, text: str) -> float | None:
    """Initialisation from the summary, or from the line before it if a held stage has no summary."""
    if measured.init_us is not None:
        return measured.init_us / 1000
    _, found, rest = text.partition("Initialized session in ")
    return numbers.real(rest[:40].partition("ms")[0], above=0, maximum=1e9) if found else None


def _phase_ms(stats: RunStats | None, figure: Literal["first_us", "avg_us"]) -> float | None:
    """A value of a phase. If the phase has one inference, the tool prints only the time of that inference."""
    if stats is None or not stats.count:
        return None
    us: float | None = getattr(stats, figure)
    us = us if us is not None else stats.curr_us if stats.count == 1 else None
    return None if us is None else us / 1000


def _steady_ms(stats: RunStats | None) -> float | None:
    """The average without the first inference, which is slower and, of a held stage, includes its wait."""
    if stats is None or stats.avg_us is None or stats.first_us is None or not stats.count or stats.count < 2:
        return None
    us = (stats.avg_us * stats.count - stats.first_us) / (stats.count - 1)
    # The tool prints the average with six digits. If the first inference includes a long wait, the rest can become 0.
    return max(us, stats.min_us or 0.0) / 1000


def memory_records(
    log: SessionLog, plan: SessionPlan
) -> tuple[tuple[PipelineSampleRecord, ...], MemoryKind | None, int | None]:
    """The samples, whether PSS or RSS is summed, and the largest sum over the live stages."""
    records = (
        PipelineSampleRecord(
            number,
            plan.stages[stage].position if plan.images == 1 else stage,
            sample.t_s,
            sample.pss_kb.get(stage),
            sample.rss_kb.get(stage),
        )
        for number, sample in enumerate(log.samples)
        for stage in sorted({*sample.pss_kb, *sample.rss_kb})
        if stage < len(plan.stages)
    )
    has_pss = any(sample.pss_kb for sample in log.samples)
    peak = peak_kb(memory_over_time([(sample.pss_kb, sample.rss_kb) for sample in log.samples]))
    kind: MemoryKind | None = None if peak is None else "pss" if has_pss else "rss"
    return tuple(islice(records, _MAX_SAMPLES)), kind, peak
