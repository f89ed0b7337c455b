"""Renders the cases of a document as JUnit XML, which every CI shows; knows no subject.

The form is that of Jenkins' schema (junit-10.xsd, which Gradle, GitLab and GitHub's viewers read too). XML cannot
contain most control characters, not even escaped; text from a device may contain any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from devbench.forms.lines import counted, listed, notice_texts, spelt
from devbench.sections.document import CheckedJob, Document, Facts
from devbench.text import clean

# Characters that XML 1.0 cannot contain (its production 2, Char), and lone surrogates.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(document: Document) -> str:
    """Return the XML.

    Facts at the document's head are properties; notices and other sections are the suite's output.
    """
    cases = [part for section in document.sections for part in section.parts if isinstance(part, CheckedJob)]
    faults = [fault.tag for case in cases for fault in case.faults[:1]]
    counts = {"tests": str(len(cases)), "failures": str(faults.count("failure")), "errors": str(faults.count("error"))}
    counts["time"] = f"{sum(case.seconds for case in cases):.3f}"
    suites = ElementTree.Element("testsuites", {"name": "devbench nightly", **counts})
    name, skipped = document.sections[0].title, str(sum(bool(case.skipped) for case in cases))
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _line(name), "skipped": skipped, **counts})
    facts = {name: value for part in document.head if isinstance(part, Facts) for name, value in part.pairs}
    if facts:
        suite.set("timestamp", facts.pop("timestamp"))
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in facts.items():
            ElementTree.SubElement(properties, "property", name=_line(name), value=_line(value))
    suite.extend(map(_case, cases))
    said = [document.headline, *counted(document), *notice_texts(document)]
    said += [f"{title}: {spelt(line, str)}" for title, lines in listed(document) for line in lines]
    ElementTree.SubElement(suite, "system-out").text = _text(said)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, "unicode") + "\n"


def _case(case: CheckedJob) -> ElementTree.Element:
    named = {"name": _line(case.name), "classname": _line(case.of), "time": f"{case.seconds:.3f}"}
    made = ElementTree.Element("testcase", named)
    for fault in case.faults:
        said = {"type": _line(fault.kind), "message": _line(fault.lines[0])}
        ElementTree.SubElement(made, fault.tag, said).text = _text(fault.lines)
    if case.skipped:
        ElementTree.SubElement(made, "skipped", message=_line(case.skipped))
    if case.output:
        ElementTree.SubElement(made, "system-out").text = _text(case.output)
    return made


def _line(text: str) -> str:
    return _NOT_XML.sub("", clean(text))


def _text(lines: Iterable[str]) -> str:
    return "\n".join(_line(line) for line in lines)
