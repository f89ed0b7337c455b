"""Reads labels of a run from the environment variables that a CI system sets.

The variables are documented by the systems: GitHub Actions ("Default environment variables"), GitLab ("Predefined
CI/CD variables"), Jenkins ("Using environment variables", and its Git plugin), Buildkite ("Environment variables").
Others set DEVBENCH_BRANCH, DEVBENCH_COMMIT, DEVBENCH_BUILD or DEVBENCH_TICKET, which count for more than all of these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# The key is the variable that identifies a system. For each label it has the variables to read; the first one that is
# set counts.
_SYSTEMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "GITHUB_ACTIONS": {
        "branch": ("GITHUB_HEAD_REF", "GITHUB_REF_NAME"),
        "commit": ("GITHUB_SHA",),
        "build": ("GITHUB_RUN_ID",),
    },
    "GITLAB_CI": {
        "branch": ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_BRANCH", "CI_COMMIT_REF_NAME"),
        "commit": ("CI_COMMIT_SHA",),
        "build": ("CI_PIPELINE_ID",),
    },
    "JENKINS_URL": {
        "branch": ("CHANGE_BRANCH", "BRANCH_NAME", "GIT_BRANCH"),
        "commit": ("GIT_COMMIT",),
        "build": ("BUILD_NUMBER",),
    },
    "BUILDKITE": {
        "branch": ("BUILDKITE_BRANCH",),
        "commit": ("BUILDKITE_COMMIT",),
        "build": ("BUILDKITE_BUILD_NUMBER",),
    },
}
_OWN = {name: f"DEVBENCH_{name.upper()}" for name in ("branch", "commit", "build", "ticket")}
_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
# A ticket's key, as Jira has it, in the name of a branch: `feature/ABC-123-faster-softmax`.
_TICKET = re.compile(r"(?<![A-Za-z0-9])[A-Z][A-Z0-9]{1,9}-[1-9][0-9]{0,6}(?![0-9])")
_LONGEST = 200

# All variables that are read; tests remove them.
VARIABLES = frozenset(
    {*_SYSTEMS, *_OWN.values(), *(name for system in _SYSTEMS.values() for names in system.values() for name in names)}
)


def ci_labels(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `branch`, `commit`, `build` and `ticket`, if the environment has them.

    The ticket is the first in the name of the branch.
    """
    found: dict[str, str] = {}
    system = next((of for variable, of in _SYSTEMS.items() if environment.get(variable)), {})
    for label, names in system.items():
        value = next((environment[name] for name in names if environment.get(name)), "")
        if value and (label != "commit" or _COMMIT.fullmatch(value)):
            found[label] = value
    if "branch" in found:
        found["branch"] = found["branch"].removeprefix("origin/")
    found |= {label: environment[name] for label, name in _OWN.items() if environment.get(name)}
    ticket = _TICKET.search(found.get("branch", ""))
    if ticket and "ticket" not in found:
        found["ticket"] = ticket.group()
    return {label: value.strip()[:_LONGEST] for label, value in found.items()}
