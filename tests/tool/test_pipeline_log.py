"""The log of a session: taken apart, cut anywhere, hostile."""

from __future__ import annotations

import random

import pytest

from devbench.tool.parse.pipeline_log import parse_session

LOG = """W1x 1795504314.177827 1 start
W1x 1795504314.178571 - memory
W1x 1795504314.185401 1 ready
W1x 1|INFO: Initialized session in 2.551ms.
W1x 1795504314.185544 - begin
W1x 1795504314.185587 0 start
W1x 1795504314.191959 0 ready
W1x 0|INFO: count=0
W1x 1795504314.196180 0 done
W1x 0|INFO: count=1 curr=4177
W1x 1795504314.196263 0 drop
W1x 1795504314.196419 1 go
W1x 1795504314.196959 0 gone 137
W1x 1795504314.200000 - memory 0:100:200:300 1:1000:2000:3000
W1x 1795504314.234914 1 warm
W1x 1795504314.244552 1 done
W1x 1795504314.250139 - memory 1:15208:17824:17824 2:::
W1x 1795504314.251242 - end
W1x 1795504314.251883 1 gone 137
"""


def test_times_count_from_the_start_of_the_clock() -> None:
    log = parse_session(LOG.split("\n"))
    text, unet = log.stages
    assert log.began and log.ended
    assert (unet.start_s, unet.ready_s, unet.go_s, unet.done_s) == (-0.007717, -0.000143, 0.010875, 0.059008)
    assert (text.done_s, text.exit_code) == (0.010636, 137)
    assert text.text == "INFO: count=0\nINFO: count=1 curr=4177\n"
    assert [dict(sample.pss_kb) for sample in log.samples] == [{}, {0: 100, 1: 1000}, {1: 15208}]
    assert log.samples[1].rss_kb == {0: 200, 1: 2000}
    assert log.hwm_kb == {0: 300, 1: 17824}


def test_a_log_cut_anywhere_or_made_of_anything_is_read_without_an_error() -> None:
    for end in range(0, len(LOG), 7):
        parse_session(LOG[:end].split("\n"))
    chance = random.Random(3)
    for _ in range(200):
        words = list(LOG)
        for _ in range(20):
            words[chance.randrange(len(words))] = chance.choice("09: |.-W\n\x00é")
        parse_session("".join(words).split("\n"), "W1x")


def test_a_stage_that_is_held_between_images_has_its_pauses() -> None:
    marks = ["1000.0 - begin", "1000.1 1 go", "1001.0 1 hold", "1001.5 1 go", "1002.5 1 hold", "1003.0 1 done"]
    stage = parse_session([f"W {mark}" for mark in marks]).stage(1)
    assert stage.pauses == (pytest.approx((1.0, 1.5)),)
    assert (stage.go_s, stage.done_s) == pytest.approx((0.1, 3.0))


def test_the_tool_cannot_speak_for_the_script() -> None:
    more = "W1x 0|W1x 1795504314.9 0 done\nOTHER 1795504314.9 2 start\nW1x 1e9.1 2 start\n"
    log = parse_session((LOG + more).split("\n"), "W1x")
    assert [stage.number for stage in log.stages] == [0, 1]
    assert log.stages[0].done_s == 0.010636
    many = parse_session([f"W {n}.5 {s} start" for n, s in enumerate((63, 64, 999, -1))], "W")
    assert [stage.number for stage in many.stages] == [63]
    huge = parse_session(["W 1.0 - memory 0:99999999999999999999:1:1 1:٣:1:1"], "W")
    assert huge.samples[0].pss_kb == {}
