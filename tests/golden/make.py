"""Make the golden files again: `python -m tests.golden.make`. Read the difference before it is committed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.golden.forms import all_forms

FILES = Path(__file__).parent / "files"


def main() -> None:
    """Write every file, and remove those that are not made any more."""
    with tempfile.TemporaryDirectory(prefix="devbench-golden-") as folder:
        made = all_forms(Path(folder))
    old = {path for path in FILES.rglob("*") if path.is_file()}
    for name, text in made.items():
        path = FILES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8", newline="\n")
            print(f"changed: {name}")
    for path in sorted(old - {FILES / name for name in made}):
        path.unlink()
        print(f"removed: {path.relative_to(FILES)}")


if __name__ == "__main__":
    main()
