"""The wheel is complete: in an empty environment it runs the demo. All that it imports is declared, and all declared is used."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from devbench import __version__
from devbench.errors import DISTRIBUTION
from tests.docs.blocks import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Parts of a declared library that have a name of their own on PyPI.
PARTS = {"aiohttp": "fsspec", "markupsafe": "jinja2", "pydantic-core": "pydantic", "typing-extensions": "pydantic"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, timeout=100)
    (found,) = folder.glob("*.whl")
    return found


@pytest.mark.campaign
def test_the_wheel_has_its_name_version_licence_types_and_data(wheel: Path) -> None:
    assert wheel.name.startswith(f"{DISTRIBUTION.replace('-', '_')}-{__version__}-")
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("licenses/LICENSE", "licenses/NOTICE", "echarts/LICENSE", "echarts/LICENSE-zrender", "devbench/py.typed", "_data/bench_bin/virtual/benchmark_model", "delegates.toml",
                 "_data/device_profiles/virtual.toml", "models/data/small_unet.tflite"):  # fmt: skip
        assert any(name.endswith(part) for name in names), part
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


@pytest.mark.campaign
def test_an_empty_environment_with_the_wheel_runs_the_demo(wheel: Path, tmp_path: Path, adb_server_port: int) -> None:
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    (python,) = (home / "bin").glob("python3")
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}, scheme="venv"))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*install, str(wheel)], check=True, timeout=100)
    # The dependencies are those of this environment; its own devbench is not among them.
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(others) + "\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"DEVBENCH_HOME": str(tmp_path / "home"), "NO_COLOR": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = run(str(python), "-c", "import devbench; print(devbench.__file__)")
    assert Path(where.strip()).is_relative_to(home)
    command = str(home / "bin" / "devbench")
    assert __version__ in run(command, "--version")
    said = run(command, "run", "demo", "--device", "virtual", "-D", "cpu,xnnpack", "-r", "1", "--num-runs", "2",
               "--min-secs", "0", "--warmup-min-secs", "0", "--unreliable-retries", "0")  # fmt: skip
    assert "XNNPACK" in said
    (page,) = (tmp_path / "reports").glob("*/report.html")
    assert page.stat().st_size > 10_000


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    always = set(map(_name, project["dependencies"]))
    extras = set().union(
        *(
            map(_name, project["optional-dependencies"][extra])
            for extra in ("farm", "metrics", "models", "parquet", "postgres")
        )
    )
    owners = packages_distributions()
    used = {_normal(owner) for module in _imported() for owner in owners.get(module, [module])}
    used = {PARTS.get(name, name) for name in used}
    assert used - always - extras == set(), "imported by devbench and not declared in pyproject.toml"
    assert always - used == set(), "declared in pyproject.toml and imported nowhere"


def _imported() -> Iterator[str]:
    """The top-level modules that devbench imports, without its own and those of the standard library."""
    for path in (ROOT / "devbench").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top != "devbench" and top not in sys.stdlib_module_names:
                    yield top


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return _normal(found[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
