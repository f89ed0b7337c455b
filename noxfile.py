"""The tasks of a contributor and of CI: `nox -l` lists them, `nox -s lint types tests` runs some of them.

They run in the environment that nox itself is installed in (`pip install -e '.[dev]' -c requirements.lock`). Arguments
after `--` go to the program of the task, for example `nox -s tests -- tests/adb -x`.
"""

from __future__ import annotations

import sys

import nox
from nox.command import CommandFailed

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

WORKERS = "3"  # more than there are cores: many tests wait for a device
CLAIMS = (
    "eight_virtual_devices.py --rounds 11",
    "ranking.py --rounds 12",
    "compare_store.py",
    "parse_speed.py --small",
)
CLAIMS_ON_A_DEVICE = (
    "job_overhead.py",
    "command_start.py",
    "depot_hit.py",
    "push_throughput.py --rounds 5",
    "sampler_cost.py --seconds 30 --pairs 12",
)


def _python(session: nox.Session, *arguments: str, env: dict[str, str] | None = None) -> None:
    session.run(sys.executable, *arguments, external=True, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and spelling: ruff, codespell."""
    _python(session, "-m", "ruff", "check", ".")
    _python(session, "-m", "ruff", "format", "--check", ".")
    _python(session, "-m", "codespell_lib")


@nox.session
def types(session: nox.Session) -> None:
    """Types: mypy, strict; in benchmarks/, too, so that a renamed name does not break them unnoticed."""
    _python(session, "-m", "mypy", "-p", "devbench")
    _python(session, "-m", "mypy", "benchmarks")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests. Those that need a bench phone, a browser or PostgreSQL skip with a reason if it is missing."""
    _python(session, "-m", "pytest", "-q", "-n", WORKERS, *session.posargs)


@nox.session
def campaign(session: nox.Session) -> None:
    """The long tests: many tries of one thing, long waits, the commands of README and docs, the wheel."""
    _python(session, "-m", "pytest", "-q", "-n", WORKERS, "-m", "campaign and not converter", *session.posargs)


@nox.session
def converter(session: nox.Session) -> None:
    """The tests that build models; they need TensorFlow (`pip install -e '.[models]'`)."""
    _python(session, "-m", "pytest", "-q", "-n", "2", "-m", "converter", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, written to site/; a warning is an error."""
    _python(session, "-m", "mkdocs", "build", "--strict", "--quiet", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def claims(session: nox.Session) -> None:
    """Measured claims (benchmarks/); `-- --device SERIAL` adds those that need a device with the stock tool.

    A claim that misses its bar is measured once more: other work on the machine is not a regression.
    """
    on_a_device = CLAIMS_ON_A_DEVICE if session.posargs else ()
    for claim in (*(f"{claim} {' '.join(session.posargs)}" for claim in on_a_device), *CLAIMS):
        command = f"benchmarks/{claim}".split()
        try:
            _python(session, *command)
        except CommandFailed:
            session.warn(f"{claim} missed its bar; measuring it once more")
            _python(session, *command)


@nox.session
def golden(session: nox.Session) -> None:
    """Write the golden files again, for a change of output that is meant. Read their diff before you commit it."""
    _python(session, "-m", "tests.golden.make")


@nox.session
def echarts(session: nox.Session) -> None:
    """Build the library of charts in pages (Apache ECharts) with Node.js; `-- --check` only compares its hash."""
    with session.chdir("tools/echarts"):
        session.run("npm", "ci", external=True)
        session.run("node", "build.mjs", *session.posargs, external=True)


@nox.session
def build(session: nox.Session) -> None:
    """The wheel and the source archive, written to dist/."""
    _python(session, "-m", "build")
