"""The library in pages is the one that the recipe in tools/echarts makes, with its licence."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from devbench.forms.page_charts import chart_assets

ROOT = Path(__file__).parents[2]
RECIPE, LIBRARY = ROOT / "tools" / "echarts", ROOT / "devbench" / "forms" / "echarts"


def test_the_library_is_the_one_of_the_recipe() -> None:
    text = gzip.decompress((LIBRARY / "echarts.js.gz").read_bytes())
    assert hashlib.sha256(text).hexdigest() == (RECIPE / "echarts.sha256").read_text().strip()
    assert b"</script" not in text.lower(), "it would end the script of a page"
    assert b"new Function(" not in text, "a page's policy forbids eval"
    assert chart_assets().library.encode() == text


def test_the_recipe_names_exact_versions_and_the_lock_agrees() -> None:
    wanted = json.loads((RECIPE / "package.json").read_text())
    locked = json.loads((RECIPE / "package-lock.json").read_text())["packages"]
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert locked[f"node_modules/{name}"]["version"] == version


def test_its_licence_and_notice_are_next_to_it() -> None:
    assert "Apache License" in (LIBRARY / "LICENSE").read_text()
    assert "The Apache Software Foundation" in (LIBRARY / "NOTICE").read_text()


@pytest.mark.campaign
def test_the_recipe_makes_it_again() -> None:
    node = shutil.which("node")
    if node is None or not (RECIPE / "node_modules" / "echarts").is_dir():
        pytest.skip("needs Node.js and `npm ci` in tools/echarts")
    subprocess.run([node, "build.mjs", "--check"], cwd=RECIPE, check=True, timeout=100)
