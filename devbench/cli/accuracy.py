"""`devbench accuracy`: whether a model's outputs are right under each delegate; nothing is timed."""

from __future__ import annotations

import typer

from devbench.cli.choices import RUN_COMPLETION
from devbench.cli.output import check_writable, print_document
from devbench.cli.takes import Taken, open_devices, open_store, takes
from devbench.options import RunOptions

_EPILOG = (
    "Examples:\n\n  devbench accuracy model.tflite --device R5CT1234ABC\n\n"
    "  devbench accuracy model.tflite -d virtual -D xnnpack,gpu --input image=cat.npy --min-snr 30\n\n"
    "Exit codes: 0 all outputs are right; 1 an output is wrong or a job failed; 2 wrong input; 3 no device."
)
# The options of `devbench run` that say what is computed, and where.
_TAKEN = (
    "models", "device", "delegate", "inputs", "input_shape", "signature", "min_snr", "max_steps", "binary",
    "delegates_file", "json_file", "store_url", "wait", "quiet",
)  # fmt: skip
_FIXED = {"repetitions": 0, "profile": False, "cold_starts": 0, "check_outputs": True}
app = typer.Typer()


@app.command("accuracy", epilog=_EPILOG, rich_help_panel="Measure")
@takes(options=Taken(RunOptions, _TAKEN, defaults=_FIXED, complete=RUN_COMPLETION, required=("models",)))
def accuracy(options: RunOptions) -> None:
    """Check that each delegate computes the right outputs.

    The same inputs run once on the device under each delegate, once on the device's own CPU, and once on this computer
    with LiteRT's built-in kernels. An output is wrong if it has NaN, Inf or only zeros, another size, or differs by
    more than its type allows.
    """
    from devbench.bench.lease_keeper import parse_wait
    from devbench.bench.planning import make_plan
    from devbench.cli.outcome import finish, fitted, measure
    from devbench.findings.run_build import build_report
    from devbench.results.run_files import write_json
    from devbench.sections.run_job import outputs_document

    check_writable(options.json_file)
    wait_s = parse_wait(options.wait)
    plan = make_plan(options)
    with open_store(options.store_url) as store, open_devices(options.device) as devices:
        plan = fitted(plan, options.device, chosen=bool(options.delegate))
        outcome = measure(plan, devices, store, {}, quiet=options.quiet, wait_s=wait_s)
        view = store.run(outcome.run_id)
    print_document(outputs_document(build_report(view), "terminal"))
    if options.json_file is not None:
        write_json(view, options.json_file)
    finish(outcome, view)
