"""The catalogue of options: each is declared once, as a field of `RunOptions` or `NightlyOptions`.

The command line, the keys of suites, their JSON Schema and the options of pipelines are made from these declarations.
Knows nothing of Typer, of TOML, and of what an option does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from devbench.declare import File, option
from devbench.frozen import dataclass

_DAY_S = 86_400.0
MAX_THREADS = 256
_HOW_OFTEN, _STATE, _CHECKS, _MODEL = "How often", "The device's state", "Checks", "The model"
_TOOL, _PIPELINES, _RESULTS = "The tool", "Pipelines", "Results"
_BOTH: tuple[File, ...] = ("suite", "pipeline")
_AGAIN = "may be given again"
Residency = Literal["resident", "sequential", "pipelined", "pipelined-early"]
MOST_IMAGES = 10
RESIDENCIES: tuple[Residency, ...] = ("resident", "sequential", "pipelined", "pipelined-early")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `devbench run`; other commands take some of them."""

    models: tuple[str, ...] = option(
        (), argument=True, metavar="MODEL", text="The .tflite files; `demo` is the small U-Net that devbench ships."
    )
    suite: Path | None = option(
        None, "--suite", text="Measure what this TOML file says (docs/suites.md).", beside=("suite",)
    )
    pipeline: Path | None = option(
        None, "--pipeline", text="Run the stages in this TOML file as one pipeline (docs/pipelines.md).",
        beside=("pipeline",),
    )  # fmt: skip
    device: tuple[str, ...] = option(
        (),
        "--device",
        "-d",
        metavar="DEVICE",
        text="A name from `devbench devices`: serial, tag or part of the title; HOST:PORT; tag:NAME for all devices "
        f"with a tag; `virtual` or `virtual:N`; `all`; {_AGAIN}. Default: the only device.",
        key="devices",
        file_text="serials, host:port, tag:NAME, all, virtual, virtual:N",
        beside=_BOTH,
    )
    delegate: tuple[str, ...] = option(
        (),
        "--delegate",
        "-D",
        metavar="DELEGATE",
        text="Delegates from `devbench delegates`, with commas or given again. Default: cpu, xnnpack, gpu.",
        key="delegates",
        file_text="names from `devbench delegates`",
        beside=("pipeline",),
    )
    threads: str | None = option(
        None,
        "--threads",
        "-t",
        metavar="NUMBERS",
        text="Numbers of CPU threads, such as 1,2,4; each is measured. Default: the tool's own.",
        key="threads",
        kind="numbers",
        file_text="numbers of CPU threads",
        minimum=1,
        maximum=MAX_THREADS,
        beside=("pipeline",),
    )
    repetitions: int = option(
        5,
        "--repetitions",
        "-r",
        text="Processes per job that measure latency.",
        panel=_HOW_OFTEN,
        minimum=1,
        maximum=1000,
        key="repetitions",
        beside=("pipeline",),
        pipeline=3,
    )
    precision: str | None = option(
        None,
        metavar="PERCENT",
        text="Add processes until the median is known within this share, such as 2%.",
        panel=_HOW_OFTEN,
        key="precision",
    )
    max_repetitions: int = option(
        30, text="With --precision: the most repetitions per job.", panel=_HOW_OFTEN, minimum=1, maximum=1000,
        key="max_repetitions", file_text="with precision: the most repetitions per job",
    )  # fmt: skip
    cool_down: float = option(
        120.0,
        text="The most seconds to wait for a throttled device to cool down; 0 does not wait.",
        panel=_STATE,
        minimum=0.0,
        maximum=_DAY_S,
        key="cool_down",
        table="conditions",
        beside=("pipeline",),
    )
    unreliable_retries: int = option(
        3, text="Extra attempts per job to replace unreliable repetitions.", panel=_HOW_OFTEN, minimum=0, maximum=100,
        key="unreliable_retries", table="conditions", pipeline=0,
    )  # fmt: skip
    stabilise: tuple[str, ...] = option(
        (),
        text="Steps that make a device steadier, undone afterwards: awake, screen-off, screen-on, airplane, "
        "performance, background, affinity=CPUS, governor=NAME, clock=PERCENT.",
        panel=_STATE,
        key="stabilise",
        table="conditions",
        beside=("pipeline",),
    )
    reboot: str | None = option(
        None, metavar="TIME", panel=_STATE, key="reboot", table="conditions", beside=("pipeline",),
        text="First restart each device, and wait up to this long until it has booted: 5m. Default: do not restart.",
    )  # fmt: skip
    charge_to: int | None = option(
        None, panel=_STATE, minimum=1, maximum=100, key="charge_to", table="conditions", beside=("pipeline",),
        text="First wait until the battery has this level in percent, at most 4 hours.",
    )  # fmt: skip
    battery_stop: int | None = option(
        None, panel=_STATE, minimum=1, maximum=99, key="battery_stop", table="conditions", beside=("pipeline",),
        text="End the run on a device whose battery is at this level in percent or below.",
    )  # fmt: skip
    num_runs: int = option(
        50,
        text="Minimum number of inferences per process.",
        panel=_HOW_OFTEN,
        minimum=1,
        maximum=1_000_000,
        key="num_runs",
        beside=("pipeline",),
        pipeline=10,
    )
    min_secs: float = option(
        1.0, text="Minimum time of inferences per process, in seconds.", panel=_HOW_OFTEN, minimum=0.0, maximum=_DAY_S,
        key="min_secs", pipeline=0.0,
    )  # fmt: skip
    max_secs: float = option(
        150.0, text="Maximum time of the warm-up and of the inferences of a process, in seconds each.",
        panel=_HOW_OFTEN, minimum=0.001, maximum=_DAY_S, key="max_secs", beside=("pipeline",), pipeline=15.0,
    )  # fmt: skip
    warmup_runs: int = option(
        1, text="Minimum number of warm-up inferences per process.", panel=_HOW_OFTEN, minimum=0, maximum=1_000_000,
        key="warmup_runs", pipeline=1,
    )  # fmt: skip
    warmup_min_secs: float = option(
        0.5, text="Minimum time of the warm-up per process, in seconds.", panel=_HOW_OFTEN, minimum=0.0, maximum=_DAY_S,
        key="warmup_min_secs", pipeline=0.0,
    )  # fmt: skip
    profile: bool = option(
        True,
        text="Run one more process per job that measures operators and memory; its latency is not used.",
        panel=_HOW_OFTEN,
        key="profile",
        pipeline=False,
    )
    cold_starts: int = option(
        1, text="Processes per job that start with empty caches, if the device (root) or the delegate allows it.",
        panel=_HOW_OFTEN, minimum=0, maximum=100, key="cold_starts", pipeline=0,
    )  # fmt: skip
    check_outputs: bool = option(
        False,
        "--check-outputs",
        text="First compare each delegate's outputs with those of this computer's CPU.",
        panel=_CHECKS,
        key="check_outputs",
    )
    inputs: tuple[str, ...] = option(
        (),
        "--input",
        text=f"An input for --check-outputs; {_AGAIN}. Default: generated inputs.",
        metavar="NAME=FILE.npy",
        panel=_CHECKS,
        key="inputs",
        kind="files",
        file_text="for that check: name of an input = .npy file, relative to the suite",
    )
    input_shape: tuple[tuple[str, ...], ...] = option(
        (),
        text="The shape of an input with open dimensions, as image=1x224x224x3; without NAME= for a model with one "
        "input. May be given again for other inputs.",
        panel=_MODEL,
        metavar="NAME=SHAPE",
        key="shapes",
        kind="shapes",
        file_text="shapes of open inputs, each measured: 1x224x224x3, NAME=1x16, or a list of these",
    )
    signature: tuple[str, ...] = option(
        (),
        text=f"Which signature of the model to measure; {_AGAIN}. Default: that of the main graph.",
        panel=_MODEL,
        metavar="NAME|all",
        key="signatures",
        file_text="which signatures to measure, or all",
    )
    min_snr: float | None = option(
        None,
        text="With --check-outputs: the lowest signal-to-noise ratio of float outputs, in dB. Default: 20.",
        panel=_CHECKS,
        minimum=-1000.0,
        maximum=1000.0,
        key="min_snr",
    )
    max_steps: int | None = option(
        None,
        text="With --check-outputs: the largest difference of integer outputs. Default: 3 for 8 bits, else 0.",
        panel=_CHECKS,
        minimum=0,
        maximum=2**32,
        key="max_steps",
    )
    require: str | None = option(
        None,
        text="full: a job fails if the delegate takes only a part of the graph; any: the job does not fail.",
        panel=_CHECKS,
        choices=("full", "any"),
        metavar="full|any",
        key="require",
        beside=("pipeline",),
    )
    binary: str | None = option(
        None,
        metavar="BINARY",
        text="The benchmark_model to use: name, file or hash (`devbench binaries list`). Default: by the device's ABI.",
        panel=_TOOL,
        key="binary",
        file_text="name, hash or file (also relative to the suite) of the benchmark_model",
        beside=("pipeline",),
    )
    via: str = option(
        "shell",
        text="shell: run the binary; apk: run Google's benchmark app, as an app runs the model (docs/apk.md).",
        panel=_TOOL,
        choices=("shell", "apk"),
        metavar="shell|apk",
        key="via",
    )
    tool_flag: tuple[str, ...] = option(
        (),
        text=f"A further flag for the tool; {_AGAIN}.",
        metavar="NAME=VALUE",
        panel=_TOOL,
        key="tool_flags",
        file_text="further flags for the tool, name=value",
        beside=("pipeline",),
    )
    delegates_file: Path | None = option(
        None,
        text="A TOML file with your own delegates (docs/delegates.md).",
        panel=_TOOL,
        key="delegates_file",
        file_text="a file with delegates of your own, relative to the suite",
        beside=("pipeline",),
    )
    timeout: float | None = option(
        None,
        text="Seconds after which a process is ended. Default: computed from --max-secs.",
        panel=_HOW_OFTEN,
        minimum=1.0,
        maximum=7 * _DAY_S,
        key="timeout",
        beside=("pipeline",),
    )
    # `devbench parse` has the same limit.
    max_output: int = option(
        64,
        text="A process of the tool is ended when it has printed this many MiB.",
        panel=_HOW_OFTEN,
        minimum=1,
        maximum=256,
        key="max_output",
        beside=("pipeline",),
    )
    steps: int | None = option(
        None, text="Number of steps. Default: the file's.", panel=_PIPELINES, minimum=1, maximum=10_000,
        only_pipeline=True, beside=("pipeline",),
    )  # fmt: skip
    guidance: bool | None = option(
        None, "--guidance/--no-guidance", text="Two passes of the U-Net per step, or one. Default: the file's.",
        panel=_PIPELINES, only_pipeline=True, beside=("pipeline",),
    )  # fmt: skip
    residency: tuple[str, ...] = option(
        (), text=f"{', '.join(RESIDENCIES)}; with commas or given again. Default: the file's.",
        choices=RESIDENCIES, panel=_PIPELINES, only_pipeline=True, beside=("pipeline",),
    )  # fmt: skip
    images: int | None = option(
        None, text="Images in a pipelined session, which keeps one stage in memory. Default: the file's.",
        panel=_PIPELINES, minimum=1, maximum=MOST_IMAGES, only_pipeline=True, beside=("pipeline",),
    )  # fmt: skip
    wait: str | None = option(
        None, text="Wait up to this long for a device that another run uses: 90s, 10m or 2h. Default: do not wait.",
        panel=_STATE, metavar="TIME", beside=_BOTH,
    )  # fmt: skip
    resume: str | None = option(
        None,
        text="Measure the rest of a run that was interrupted. Give the same options as then.",
        panel=_HOW_OFTEN,
        metavar="RUN",
        beside=("suite",),
    )
    label: tuple[str, ...] = option(
        (),
        text=f"Store this label with the run; {_AGAIN}. In CI, branch, commit and build are stored by themselves.",
        metavar="KEY=VALUE",
        panel=_RESULTS,
        key="labels",
        kind="table",
        file_text="kept with each run, key = value",
        beside=_BOTH,
    )
    json_file: Path | None = option(
        None, "--json", text="Write everything measured to this file.", panel=_RESULTS, beside=_BOTH
    )
    csv_file: Path | None = option(
        None, "--csv", text="Write one row per repetition to this file.", panel=_RESULTS, beside=("suite",)
    )
    operators: bool = option(False, "--operators", text="Show operators, too.", panel=_RESULTS, beside=("suite",))
    report: bool = option(True, text="Write the HTML and Markdown report.", panel=_RESULTS, beside=_BOTH)
    out: Path | None = option(None, text="Folder of the report. Default: reports/RUN.", panel=_RESULTS, beside=_BOTH)
    open_page: bool = option(False, "--open", text="Open the report in your browser.", panel=_RESULTS, beside=_BOTH)
    store_url: str | None = option(
        None, "--store", text="The results store to use. Default: DEVBENCH_STORE, or your own.", panel=_RESULTS,
        metavar="URL|FILE", beside=_BOTH,
    )  # fmt: skip
    fault: str = option("", text="How virtual devices misbehave, for tests.", hidden=True, beside=_BOTH)
    quiet: bool = option(False, "--quiet", "-q", text="No progress, only the result.", panel=_RESULTS, beside=_BOTH)


@dataclass(frozen=True, slots=True)
class NightlyOptions:
    """Further options of `devbench nightly`; a `key` is a key of the table `[nightly]` of a suite."""

    force: bool = option(False, "--force", text="Measure again what was already measured tonight, as a further night.")
    wait: float = option(
        0.0,
        text="Wait up to this many seconds for another `devbench nightly` to end.",
        minimum=0.0,
        maximum=7 * _DAY_S,
        metavar="SECONDS",
    )
    farm: bool = option(False, "--farm", text="Measure on all hosts of the farm in DEVBENCH_FARM (docs/farm.md).")
    farm_wait: str | None = option(
        None, text="With --farm: report after this long, even if phones are missing. Default: 8h.", metavar="TIME"
    )
    period: str = option(
        "night",
        text="How often a device is due: night (from noon to noon), or a time such as 12h or 7d.",
        key="period",
    )
    baseline_nights: int = option(
        7,
        text="Compare with this number of earlier nights.",
        minimum=0,
        maximum=1000,
        key="baseline_nights",
    )
    baseline: str | None = option(
        None, text="Compare with these runs instead: an id, key=value, a date or FROM..TO.", key="baseline"
    )
    unreliable: str = option(
        "undecided",
        text="If all repetitions of a side are unreliable: no verdict, or count them as reliable.",
        metavar="undecided|count",
        choices=("undecided", "count"),
        key="unreliable",
    )
    reports: Path = option(
        Path("reports"), text="Folder for the reports.", key="reports",
        file_text="folder of the reports, relative to the suite",
    )  # fmt: skip
    report_url: str = option("", text="Address of the folder of reports, for links.", metavar="URL", key="report_url")
    junit: Path | None = option(
        None, text="Also write the JUnit XML to this file.", key="junit",
        file_text="a further copy of the JUnit XML, relative to the suite",
    )  # fmt: skip
    device_wait: str = option(
        "10m",
        text="Wait up to this long for a device that another run uses.",
        metavar="TIME",
        key="device_wait",
    )
    keep_raw_days: int | None = option(
        None,
        text="At the end, delete raw outputs that are older than this many days.",
        minimum=0,
        maximum=36_500,
        key="keep_raw_days",
    )
    webhook: str = option(
        "",
        text="Post the result to this address, in the format of Slack. It is a secret: better set the variable.",
        envvar="DEVBENCH_WEBHOOK",
        metavar="URL",
    )
