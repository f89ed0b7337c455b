"""`python -m tests.made.stop_adb_server`: stop the adb server that the environment names; for CI, after its last test.

Never the default server: somebody else may be using it.
"""

from __future__ import annotations

import os
import subprocess
import sys

from devbench.adb.server import endpoint_from_env, find_adb

_TIMEOUT_S = 20.0


def main() -> int:
    """Stop the server; gives the exit code."""
    if not os.environ.get("ANDROID_ADB_SERVER_PORT"):
        print("ANDROID_ADB_SERVER_PORT is not set: the default adb server is left alone", file=sys.stderr)
        return 2
    command = [str(find_adb()), "-P", str(endpoint_from_env().port), "kill-server"]
    return subprocess.run(command, timeout=_TIMEOUT_S, check=False, capture_output=True).returncode


if __name__ == "__main__":
    sys.exit(main())
