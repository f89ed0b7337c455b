"""Starts the command `devbench`; `python -m devbench` does the same.

`devbench run` writes its store in a second process. That process is started first: both then import their modules in
parallel.
"""

from __future__ import annotations

import sys

from devbench.results import store_server


def main() -> None:
    """Run the command line; the entry point of the console script."""
    if sys.argv[1:2] == ["run"] and not {"--help", "-h"}.intersection(sys.argv):
        store_server.start()
    from devbench.cli.app import main as command

    command()


if __name__ == "__main__":
    main()
