"""Make the example report again: `python reports/example/make.py` (about four minutes, on a computer that is idle).

Runs devbench's demo twice on a virtual device, with a store of its own. Writes the report of the second run, compared
with the first, into this folder, and a chart of its latencies into docs/images. The name of this computer's kernel is
removed. With Chromium, it also takes a picture of the page.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
IMAGES = HERE.parents[1] / "docs" / "images"
RUN = ("run", "demo", "--device", "virtual", "-D", "cpu,xnnpack,gpu", "-r", "8", "--no-report")
REPORT = ("report", "latest", "--baseline", "previous", "--format", "html,md", "--out", str(HERE))
CHART = ("chart", "latency", "--width", "7.2", "--out", str(IMAGES / "latency.png"))
_SHOTS = ((IMAGES / "report.png", (1400, 900)),)


def main() -> None:
    """Measure, write, take pictures."""
    with tempfile.TemporaryDirectory(prefix="devbench-example-") as home:
        environment = {**os.environ, "DEVBENCH_HOME": home, "NO_COLOR": "1"}
        for command in (RUN, RUN, REPORT, CHART):
            subprocess.run([sys.executable, "-m", "devbench", *command], env=environment, check=True)
        for name in ("report.html", "report.md"):
            text = (HERE / name).read_text("utf-8").replace(platform.release(), "not shown")
            (HERE / name).write_text(text, "utf-8")
        for path, size in _SHOTS:
            take(path, size, Path(home) / path.stem)


def take(path: Path, size: tuple[int, int], profile: Path) -> None:
    """A picture of the top of the page."""
    browser = shutil.which("chromium")
    if browser is None:
        print("no Chromium here: the pictures stay as they are", file=sys.stderr)
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--virtual-time-budget=8000"]  # fmt: skip
    subprocess.run(
        [browser, *flags, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}",
         f"--screenshot={path}", (HERE / "report.html").as_uri()],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip


if __name__ == "__main__":
    main()
