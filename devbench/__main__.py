"""The command `devbench`, also as `python -m devbench`.

The store of `devbench run` is in a process of its own. It is started first, so that both processes import at the same
time.
"""

from __future__ import annotations

import sys

from devbench.results import store_server


def main() -> None:
    """Entry point of the console script."""
    if sys.argv[1:2] == ["run"] and not {"--help", "-h"}.intersection(sys.argv):
        store_server.start()
    from devbench.cli.app import main as command

    command()


if __name__ == "__main__":
    main()
