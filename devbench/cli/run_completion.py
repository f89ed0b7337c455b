"""What a shell offers for the options of `devbench run`: delegates, devices, signatures; loads them when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import typer

from devbench.cli.runs import run_ids


def complete_delegates(incomplete: str) -> list[str]:
    from devbench.tool.delegates import load_delegates

    return [name for name in load_delegates() if name.startswith(incomplete)]


def complete_serials(incomplete: str) -> list[str]:
    """Completion: connected devices, virtual ones, tags."""
    from devbench.adb.server import AdbServer
    from devbench.bench.targets import typed_names
    from devbench.cli.tags import complete as complete_tags
    from devbench.errors import DevbenchError

    try:
        known = typed_names(AdbServer(), timeout_s=1.0)
    except DevbenchError:
        known = []
    return [name for name in [*known, "virtual", "all"] if name.startswith(incomplete)] + complete_tags(incomplete)


def complete_signatures(context: typer.Context, incomplete: str) -> list[str]:
    """Completion: `all`, and the signatures of the models that were typed."""
    from contextlib import suppress

    from devbench.errors import DevbenchError
    from devbench.models.files import model_path
    from devbench.models.tensors import read_signatures

    names = {"all": None}
    # While an option waits for its value, what was typed before it is not parsed yet.
    for model in context.params.get("models") or context.args:
        with suppress(DevbenchError):
            names |= dict.fromkeys(one.name for one in read_signatures(model_path(model)))
    return [name for name in names if name.startswith(incomplete)]


# By the name of the option in the catalogue.
RUN_COMPLETION: Mapping[str, Callable[..., list[str]]] = {
    "device": complete_serials,
    "delegate": complete_delegates,
    "signature": complete_signatures,
    "resume": run_ids,
}
