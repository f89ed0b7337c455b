"""Make the example report again: `python reports/example/make.py` (three minutes, best on a computer that is idle).

Runs devbench's demo twice on a virtual device, in a store of its own, and writes the second run's report beside the
first. What the report would say of this computer's kernel is left out. With Chromium it also takes the screenshots.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
IMAGES = HERE.parents[1] / "docs" / "images"
COMMAND = ("run", "demo", "--device", "virtual", "-D", "cpu,xnnpack,gpu", "-r", "8", "--no-report")
OF_THIS_COMPUTER = ("kernel",)
_SHOTS = ((IMAGES / "report.png", (1400, 900)),)


def main() -> None:
    """Measure, write, take pictures."""
    with tempfile.TemporaryDirectory(prefix="devbench-example-") as home:
        environment = {**os.environ, "DEVBENCH_HOME": home, "NO_COLOR": "1"}
        for _ in range(2):
            subprocess.run([sys.executable, "-m", "devbench.cli.app", *COMMAND], env=environment, check=True)
        write(str(Path(home) / "results.db"))
        chart = ("chart", "latency", "--width", "7.2", "--out", str(IMAGES / "latency.png"))
        subprocess.run([sys.executable, "-m", "devbench.cli.app", *chart], env=environment, check=True)
        for path, size in _SHOTS:
            take(path, size, Path(home) / path.stem)


def write(url: str) -> None:
    """The newest run's page and Markdown, compared with the run before it."""
    from devbench.findings.comparison_build import build_comparison
    from devbench.findings.raw import readable
    from devbench.findings.run_build import build_report
    from devbench.forms.files import write_files
    from devbench.results.history import History
    from devbench.sections.subjects import RunSubject

    with History(url) as history:
        before, last = list(history.runs()["run_id"])[-2:]
        view = history.store.run(last)
        jobs = []
        for item in view.jobs:
            facts = {key: value for key, value in item.job.device.facts.items() if key not in OF_THIS_COMPUTER}
            jobs.append(replace(item, job=replace(item.job, device=replace(item.job.device, facts=facts))))
        report = build_report(replace(view, jobs=tuple(jobs)))
        compared = build_comparison(history, [before], [last], titles=("the run before", last))
        write_files(RunSubject(report, compared), HERE, ("html", "md"), readable(history.store.read_raw))


def take(path: Path, size: tuple[int, int], profile: Path) -> None:
    """A picture of the top of the page."""
    browser = shutil.which("chromium")
    if browser is None:
        print("no Chromium here: the screenshots stay as they are", file=sys.stderr)
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip
    subprocess.run(
        [browser, *flags, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}",
         f"--screenshot={path}", (HERE / "report.html").as_uri()],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip


if __name__ == "__main__":
    main()
