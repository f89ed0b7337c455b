"""Makes the answer of a run, the same for all forms of output: the first sentence, and the table of best delegates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from devbench.findings.choice import Choice
from devbench.sections.document import Kind, Matrix, MatrixCell
from devbench.sections.figures import delegate_words, half_width, ms
from devbench.sections.tables import EVERY_FORM, Cell, Column, Table, table
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.findings.run import JobReport, ReportData

# A table with more models has a row for each of them, and a column for each device.
_MAX_COLUMNS = 4
_HEADS = {"alone": "no choice", "unreliable": "no verdict", "failed": "failed"}
_NO_WINNER = "no winner yet"


def short_titles(titles: Collection[str]) -> dict[str, str]:
    """Remove the serial in brackets from the end of each title, unless two devices would then have the same title."""
    short = {title: title.partition(" (")[0] or title for title in titles}
    known = list(short.values())
    return {title: name if known.count(name) == 1 else title for title, name in short.items()}


def answer(choices: Sequence[Choice]) -> str:
    """Return the run in one sentence: which delegate is the best, or why none can be chosen."""
    titles = short_titles(dict.fromkeys(one.device.title for one in choices))
    if not choices:
        return "nothing was measured"
    if len(choices) == 1:
        one = choices[0]
        return f"{one.model} on {titles[one.device.title]}: {', '.join([*_result(one), *_why(one)])}"
    found = [one for one in choices if one.winner]
    names = {one.winner.title for one in found if one.winner}
    pairs = f"{len(choices)} pairs of model and device"
    if len(found) == len(choices):
        best = f"{names.pop()} is the best delegate" if len(names) == 1 else "Best delegate found"
        return f"{best} for all {pairs}"
    bad = [titles[one.device.title] for one in choices if one.reason == "unreliable"]
    devices = list(dict.fromkeys(bad))
    end = f"; {', '.join(devices)} could not be judged: unreliable" if devices and len(devices) <= 3 else ""
    if not found:
        reasons = {one.reason for one in choices}
        end = end or (f": {_why(choices[0])[0]}" if len(reasons) == 1 else "")
        return f"No best delegate for any of {pairs}{end}"
    return f"Best delegate found for {len(found)} of {pairs}{end}"


def head(one: Choice) -> str:
    """Return the winner, or a short text that there is none."""
    return one.winner.title if one.winner else _HEADS.get(one.reason, _NO_WINNER)


def _result(one: Choice) -> list[str]:
    """Return the winner with its latency; of a single delegate its latency."""
    shown = one.winner or (one.best if one.reason == "alone" else None)
    return [shown.title, f"{ms(shown.latency.median)} ms"] if shown and shown.latency else []


def _why(one: Choice) -> list[str]:
    """Return how much better the winner is, or why there is none."""
    if one.ratio is not None and one.rival is not None:
        return [f"{ratio_words(*one.ratio)} times as fast as {one.rival.title}"]
    first, rival = one.best, one.rival
    if one.reason == "overlap" and first is not None and rival is not None:
        more = f"about {one.more} more processes of each would decide"
        return [
            f"no winner yet: {_timed(first)} and {_timed(rival)} ms overlap; "
            + (more if one.more else "too noisy for so small a difference")
        ]
    if one.reason == "rival" and rival is not None:
        return [f"no winner yet: {rival.title} cannot be compared ({one.text})"]
    if one.reason == "unreliable":
        # The rest of the text says which repetitions are shown, which does not matter here.
        return [f"no verdict: {one.text.partition('; ')[0]}"]
    if one.reason == "failed":
        return [f"no delegate worked ({one.text})" if one.text else "nothing was measured"]
    words = {"only": "the only delegate that worked", "alone": "no other delegate was measured"}
    return [words.get(one.reason, one.text)]


def _timed(job: JobReport) -> str:
    return f"{job.title} {ms(job.latency.median)}" if job.latency else job.title


def ratio_words(ratio: float, half: float) -> str:
    """Return `1.26 ± 0.02`, `1.6 ± 0.1`, `23 ± 2`: the width of the interval determines the decimals."""
    decimals = 0 if half >= 1 or ratio >= 100 else 1 if half >= 0.1 or ratio >= 10 else 2
    between = f" ± {half:.{decimals}f}" if round(half, decimals) else ""
    return f"{ratio:.{decimals}f}{between}"


def detail(one: Choice) -> tuple[str, ...]:
    """Return the lines below the head of a cell."""
    lowest = one.measured[0] if one.measured else None
    why = tuple(words.removeprefix("no winner yet: ").removeprefix("no verdict: ") for words in _why(one))
    if one.reason == "unreliable" and lowest is not None:
        return (*why, f"lowest value seen: {_timed(lowest)} ms")
    return (*why, f"before: {delegate_words(one.before)}") if one.before else why


def _short(one: Choice) -> str:
    """Return the cell of a text table."""
    if one.winner is not None and one.winner.latency:
        ratio = f", {one.ratio[0]:.2f} × {one.rival.title}" if one.ratio and one.rival else ""
        before = f" (before: {delegate_words(one.before)})" if one.before else ""
        return f"{one.winner.title} {ms(one.winner.latency.median)} ms{ratio}{before}"
    if one.reason == "overlap" and one.best and one.rival:
        return f"no winner yet: {one.best.title} or {one.rival.title}"
    if one.reason == "alone" and one.best:
        return f"{_timed(one.best)} ms, nothing to compare with"
    if one.reason == "unreliable":
        return "no verdict: unreliable" + (f", lowest {_timed(one.measured[0])} ms" if one.measured else "")
    if one.reason == "few" and len(one.measured) == 1:
        return f"{_timed(one.measured[0])} ms, {one.text}"
    if one.reason == "rival" and one.rival:
        return f"no winner yet: {one.rival.title} cannot be compared"
    return f"{head(one)}: {clean(one.text, 60)}" if one.text else head(one)


def matrix(choices: Sequence[Choice], forms: frozenset[str] = EVERY_FORM) -> Table:
    """Return the best delegates by device and model; more than four models are rows, with devices as columns."""
    titles = short_titles(dict.fromkeys(one.device.title for one in choices))
    models = list(dict.fromkeys(one.model for one in choices))
    across = len(models) > max(_MAX_COLUMNS, len(titles))
    rows = models if across else list(titles)
    by_cell = {(one.device.title, one.model): one for one in choices}

    def name(row: str) -> str:
        if across:
            return row
        virtual = any(one.device.virtual for one in choices if one.device.title == row)
        return f"{titles[row]} *" if virtual else titles[row]

    def column(other: str) -> Column[str]:
        def cell(row: str) -> Cell:
            one = by_cell.get((other, row) if across else (row, other))
            if one is None:
                return Cell("–")
            return Cell(_short(one), kind="best" if one.winner else "warn" if one.reason == "unreliable" else "")

        return Column(clean(titles[other] if across else other, 40), cell)

    columns = (Column("model" if across else "device", name, role="name"),
               *map(column, titles if across else models))  # fmt: skip
    ratio = "; “1.26 × NPU”: 1.26 times as fast as the next delegate, NPU" if any(one.ratio for one in choices) else ""
    notes = [f"Median latency per inference{ratio}"]
    notes += ["* virtual device: not representative of any phone"] if any(o.device.virtual for o in choices) else []
    return table("best", "best delegate", columns, rows, seen=0, forms=forms, notes=tuple(notes), layout="matrix")


def processes_words(report: ReportData) -> str:
    """Return `8 processes per delegate`, or the range of the numbers."""
    counts = sorted({job.latency.n for job in report.jobs if job.latency} or {0})
    some = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{some} process{'' if counts == [1] else 'es'} per delegate"


def latency_table(choices: Sequence[Choice]) -> Table:
    """Return a table of latencies in ms with half the interval: rows are devices and models, columns delegates."""
    names = list(dict.fromkeys(job.title for one in choices for job in one.jobs))

    def column(name: str) -> Column[Choice]:
        def cell(one: Choice) -> Cell:
            job = next((job for job in one.jobs if job.title == name), None)
            if job is None:
                return Cell("–")
            kind = "unreliable" if job.all_unreliable else "best" if job is one.winner else ""
            known = ms(job.latency.median) if job.all_unreliable and job.latency else half_width(job.latency)
            return Cell(known, kind=kind)

        return Column(name, cell, numeric=True)

    columns = (Column("device", lambda one: one.device.title), Column("model", lambda one: one.model),
               *map(column, names))  # fmt: skip
    count = sum(len(one.jobs) for one in choices)
    caption = f"Latency of all {count} cases (ms per inference, ± half of the 95 % interval)"
    return table("latencies", caption, columns, choices, seen=0)


# -- page -------------------------------------------------------------------------------------------------------------


def page_matrix(choices: Sequence[Choice]) -> Matrix:
    """Return `matrix` for a page, with more lines for each pair, and its delegates as small bars."""
    titles = short_titles(dict.fromkeys(one.device.title for one in choices))
    devices = {one.device.title: one.device for one in choices}
    models = list(dict.fromkeys(one.model for one in choices))
    by_cell = {(one.device.title, one.model): one for one in choices}
    across = len(models) > max(_MAX_COLUMNS, len(devices))

    def about(device: str) -> tuple[str, ...]:
        facts = devices[device].facts
        known = (str(facts.get("soc") or ""), f"Android {facts['android']}" if facts.get("android") else "")
        return ("virtual: not representative of any phone",) if devices[device].virtual else tuple(filter(None, known))

    names: dict[str, tuple[str, tuple[str, ...]]] = {device: (titles[device], about(device)) for device in devices}
    rows, columns = ([(m, m, ()) for m in models], devices) if across else ([(d, *names[d]) for d in devices], models)
    return Matrix(
        "Model" if across else "Device",
        tuple(titles.get(name, name) for name in columns),
        tuple(
            (title, more, tuple(_cell(by_cell.get((other, key) if across else (key, other))) for other in columns))
            for key, title, more in rows
        ),
    )


def _cell(one: Choice | None) -> MatrixCell:
    if one is None:
        return MatrixCell("–")
    longest = max((job.latency.median for job in one.measured if job.latency), default=0.0)

    def bar(job: JobReport) -> tuple[str, float | None, str]:
        mark = "win" if job is one.winner else "unreliable" if job.excluded else ""
        return job.title, job.latency.median / longest if job.latency and longest else None, mark

    shown = one.winner or (one.best if one.reason == "alone" else None)
    value = f"{ms(shown.latency.median)} ms" if shown and shown.latency else ""
    title = one.best.title if one.reason == "alone" and one.best else head(one)
    kind: Kind = "good" if one.winner else "warn" if one.reason in ("unreliable", "failed") else ""
    return MatrixCell(title[:1].upper() + title[1:], value, detail(one), kind, tuple(map(bar, one.jobs)))
