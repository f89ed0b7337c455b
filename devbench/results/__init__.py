"""The results store and its queries.

For notebooks: `devbench.results.open_history()` gives a `History` whose queries return pandas frames (docs/results.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devbench.results.history import History


def open_history(url: str | None = None) -> History:
    """Return the results in a store, for reading, as a context.

    Args:
        url: a file or a URL, as of `--store`; `None` means DEVBENCH_STORE or the user's own store.

    Raises:
        InputError: the store does not exist.
        EnvironmentProblem: it cannot be read.
    """
    from devbench.results.history import History

    return History(url)
