"""The drift of devices between the two sides of a comparison, by their reference cases; knows no form.

A reference case is the same model with the same binary, measured on both sides together with the others. If it changed,
the device changed. It corrects the cases with the same delegate, threads and further options on the same device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devbench.analysis.compare import Comparison
from devbench.findings.comparison import CaseOnDevice, DriftCorrection
from devbench.findings.comparison_notices import reference_not_used
from devbench.findings.comparison_sides import Key, Series, SideData
from devbench.metrics import METRICS
from devbench.notices import Notice
from devbench.results.cases import without_inputs

LABEL = "reference"
NONE = "none"
_LEAST_REPETITIONS = 3


@dataclass(frozen=True, slots=True)
class Corrections:
    """Which reference case corrects which series.

    Attributes:
        by: for each series, that of its reference case.
        references: the series of the reference cases; they get no verdict.
        samples: those of the references, baseline and candidate.
        notices: why a reference was not used.
    """

    by: Mapping[Series, Series]
    references: frozenset[Series]
    samples: Mapping[Series, tuple[Sequence[float], Sequence[float]]]
    notices: tuple[Notice, ...]

    def of(self, series: Series) -> tuple[Sequence[float], Sequence[float]] | None:
        """The reference's samples for a series, `None` where nothing corrects it."""
        reference = self.by.get(series)
        return None if reference is None else self.samples[reference]

    def told(
        self, compared: Mapping[Series, Comparison], subjects: Mapping[Key, CaseOnDevice]
    ) -> tuple[DriftCorrection, ...]:
        """How far each reference moved."""
        moved: dict[Series, list[float]] = {}
        for series, comparison in compared.items():
            if series in self.by and comparison.drift is not None:
                moved.setdefault(self.by[series], []).append(comparison.drift)
        found = [
            DriftCorrection(device, subjects[device, case].device, case, metric, changes[0], len(changes))
            for (device, case, metric, _), changes in moved.items()
        ]
        return tuple(sorted(found, key=lambda one: (one.device, one.reference, list(METRICS).index(one.metric))))


def corrections(
    before: SideData, after: SideData, subjects: Mapping[Key, CaseOnDevice], reference: str | None
) -> Corrections:
    """Which reference corrects which series.

    Args:
        before, after: the sides.
        subjects: what is known of each case.
        reference: a model or a case; `None` takes the label `reference` of the candidate's or the baseline's runs;
            "none" corrects nothing.
    """
    name = reference or after.runs.labels.get(LABEL) or before.runs.labels.get(LABEL)
    if not name or name == NONE:
        return Corrections({}, frozenset(), {}, ())
    cases = [key for key, subject in subjects.items() if name in (subject.case, subject.model)]
    if not cases:
        return Corrections({}, frozenset(), {}, (reference_not_used(name, "not measured on either side"),))
    notices = []
    of_speed = [name for name, metric in METRICS.items() if metric.of_speed]
    samples: dict[Series, tuple[Sequence[float], Sequence[float]]] = {}
    for key in cases:
        for metric in of_speed:
            series = (*key, metric, "")
            both = [
                side.values[series].values
                for side in (before, after)
                if series in side.values and series not in side.unreliable
            ]
            if len(both) == 2 and min(map(len, both)) >= _LEAST_REPETITIONS:
                samples[series] = (both[0], both[1])
        latency = (*key, "latency", "")
        few = "all repetitions of a side are unreliable"
        if latency not in before.unreliable | after.unreliable:
            few = "too few repetitions"
        why = _unfit(before, after, key) or ("" if latency in samples else few)
        if why:
            notices.append(reference_not_used(key[1], why, key[0]))
            for metric in of_speed:
                samples.pop((*key, metric, ""), None)
    by = {}
    for device, case, metric, kind in before.values:
        subject = subjects[device, case]
        for key in cases:
            series = (*key, metric, kind)
            if series in samples and key[0] == device and key[1] != case and _alike(subject, subjects[key], name):
                by[device, case, metric, kind] = series
    return Corrections(by, frozenset(samples), samples, tuple(notices))


def _alike(subject: CaseOnDevice, reference: CaseOnDevice, name: str) -> bool:
    """A case that was named corrects all; a model corrects those that ran as it did."""
    if reference.case == name:
        return True
    ran = [without_inputs(one.case.removeprefix(one.model)) for one in (subject, reference)]
    return ran[0] == ran[1]


def _unfit(before: SideData, after: SideData, key: Key) -> str:
    """Why a case is no reference; empty where it is one."""
    for column, what in (("model_sha256", "model"), ("binary_sha256", "binary")):
        known = set()
        for jobs in (before.jobs, after.jobs):
            known |= set(jobs.loc[(jobs["device_key"] == key[0]) & (jobs["case"] == key[1]), column])
        if len(known) != 1:
            return f"its {what} is not the same everywhere"
    return ""
