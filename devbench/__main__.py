"""`python -m devbench` is the command `devbench`."""

from devbench.cli.app import main

if __name__ == "__main__":
    main()
