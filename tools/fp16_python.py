"""Make a Python whose LiteRT computes in true fp16 on a machine without a GPU.

    python tools/fp16_python.py DIR

unpacks Debian trixie's Python and Mesa's lavapipe (a Vulkan driver for CPUs, which needs a newer C library than Debian
bookworm's) into DIR/root, adds LiteRT in the version of requirements.lock, and writes DIR/python, which starts it. No
chroot is needed: the program's own loader finds its libraries, and it sees all files of this machine. Takes 25 s and
460 MB; needs mmdebstrap and the network. `benchmarks/half_precision.py --gpu-python DIR/python` uses it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PACKAGES = "python3,libvulkan1,mesa-vulkan-drivers"
_VERSION = "3.13"
_START = """\
#!/bin/sh
root={root}
exec env PYTHONHOME="$root/usr" PYTHONPATH="$root/litert" XDG_RUNTIME_DIR=/tmp XDG_CACHE_HOME="$root/cache" \\
  VK_DRIVER_FILES="$root/usr/share/vulkan/icd.d/lvp_icd.json" \\
  "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \\
  "$root/usr/bin/python{version}" "$@"
"""


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    root, start = folder / "root", folder / "python"
    if start.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    old = '--aptopt=Acquire::Check-Valid-Until "false"'
    unpack = ["mmdebstrap", "--quiet", "--variant=extract", old, f"--include={_PACKAGES}", "trixie", str(root)]
    subprocess.run(unpack, check=True)
    lock = Path(__file__).parents[1] / "requirements.lock"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(root / "litert"), "--python-version", _VERSION,
         "--only-binary=:all:", "-c", str(lock), "ai-edge-litert", "numpy"],
        check=True,
    )  # fmt: skip
    start.write_text(_START.format(root=root, version=_VERSION), "utf-8")
    start.chmod(0o755)


if __name__ == "__main__":
    main()
