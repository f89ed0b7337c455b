"""Notices that follow from what a run stored: unreliable repetitions, too few processes, partly delegated graphs.

Also outputs that were not compared and virtual devices. Pure functions over records; knows no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from devbench.analysis.reliability import reasons_words
from devbench.notices import VIRTUAL_NOTE, Effect, Notice, NoticeKind, Tally
from devbench.results import counting
from devbench.results.cases import case_text, subject_text
from devbench.results.records import DeviceRecord, JobRecord, RepetitionRecord

MEASURE_AGAIN = "measure again on an idle, cool device"


def job_notices(job: JobRecord, repetitions: Sequence[RepetitionRecord]) -> Iterator[Notice]:
    """What limits the numbers of a job, by its repetitions."""
    measured, timed = counting.measured(repetitions), counting.timed(repetitions)
    case = case_text(job.model.name, job.delegate, job.threads, job.options)
    about = (job.device.key, job.number)
    bad = [r for r in measured if r.verdict == "unreliable"]
    if bad:
        why = reasons_words([reason for r in bad for reason in r.verdict_reasons], counted=False)
        yield unreliable(case, len(bad), len(measured), "repetition", why, *about)
    if len(timed) == 1 and timed[0] not in bad:
        text = "measured once: too few processes to choose a winner"
        step = "give --repetitions 5 or more"
        yield Notice(NoticeKind.TOO_FEW_PROCESSES, case, text, step, Effect.EXCLUDED, *about)
    if any(r.delegate_applied == "partial" for r in repetitions if r.status == "ok"):
        text = "partly delegated: the rest of the graph runs on the CPU"
        yield Notice(
            NoticeKind.PARTLY_DELEGATED, case, text, "the report lists what fell back", Effect.INFORMATION, *about
        )
    if timed and job.delegate != "cpu" and not any(r.outputs for r in repetitions):
        text, step = "outputs not checked against this computer's", "add --check-outputs"
        yield Notice(
            NoticeKind.OUTPUTS_NOT_CHECKED, subject_text(job.model.name, job.options), text, step,
            job_number=job.number,
        )  # fmt: skip


def unreliable(
    subject: str, concerned: int, total: int, what: str, why: str, device_key: str, job_number: int | None = None
) -> Notice:
    """The notice of unreliable repetitions; of no verdict if all of them are.

    Args:
        what: one of them, such as `repetition` or `run of the candidate`.
        why: the reasons, in words; may be empty.
    """
    whole = concerned == total
    because = f" ({why})" if why else ""
    end = "; shown because there are no better ones" if whole else " and left out"
    tally = Tally(concerned, total, what, f"unreliable{because}{end}")
    kind = NoticeKind.ALL_UNRELIABLE if whole else NoticeKind.SOME_UNRELIABLE
    effect = Effect.UNDECIDED if whole else Effect.INFORMATION
    return Notice(kind, subject, tally.text, MEASURE_AGAIN, effect, device_key, job_number, tally)


def virtual_devices(devices: Iterable[DeviceRecord]) -> Iterator[Notice]:
    """One for each virtual device."""
    for device in {one.key: one for one in devices if one.virtual}.values():
        yield virtual_device(device.key, device.title)


def virtual_device(key: str, title: str) -> Notice:
    """That the numbers of a device are those of a computer."""
    return Notice(NoticeKind.VIRTUAL_DEVICE, title, VIRTUAL_NOTE, device_key=key)
