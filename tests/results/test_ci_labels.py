"""Labels that a CI system knows: of each system, of none, and what counts for more."""

from __future__ import annotations

import pytest

from devbench.results.ci_labels import VARIABLES, ci_labels

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        # A branch that nobody's CI built is none: the variable of the system has to be there.
        ({"GITHUB_REF_NAME": "main", "BRANCH_NAME": "main"}, {}),
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": "main", "GITHUB_SHA": SHA, "GITHUB_RUN_ID": "77"},
            {"branch": "main", "commit": SHA, "build": "77"},
        ),
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_HEAD_REF": "fix/ABC-12-gelu", "GITHUB_REF_NAME": "3/merge"},
            {"branch": "fix/ABC-12-gelu", "ticket": "ABC-12"},
        ),
        (
            {"GITLAB_CI": "true", "CI_COMMIT_REF_NAME": "release-1.2", "CI_COMMIT_SHA": SHA, "CI_PIPELINE_ID": "5"},
            {"branch": "release-1.2", "commit": SHA, "build": "5"},
        ),
        (
            {"JENKINS_URL": "http://ci", "GIT_BRANCH": "origin/NPU-7", "GIT_COMMIT": SHA, "BUILD_NUMBER": "9"},
            {"branch": "NPU-7", "commit": SHA, "build": "9", "ticket": "NPU-7"},
        ),
        (
            {
                "BUILDKITE": "true",
                "BUILDKITE_BRANCH": "main",
                "BUILDKITE_COMMIT": "HEAD",
                "BUILDKITE_BUILD_NUMBER": "3",
            },
            {"branch": "main", "build": "3"},
        ),
        ({"DEVBENCH_BRANCH": "topic", "DEVBENCH_TICKET": "T-1"}, {"branch": "topic", "ticket": "T-1"}),
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": "main", "DEVBENCH_BRANCH": "mine"}, {"branch": "mine"}),
    ],
)
def test_labels_come_from_the_system_that_runs(environment: dict[str, str], expected: dict[str, str]) -> None:
    assert ci_labels(environment) == expected
    assert set(environment) <= VARIABLES


def test_a_label_is_never_longer_than_a_line() -> None:
    assert len(ci_labels({"DEVBENCH_BUILD": "x" * 10_000})["build"]) == 200
