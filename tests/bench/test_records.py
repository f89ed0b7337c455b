"""What the store is given of a profile: which rows are a delegate's partitions, by the tool's own words."""

from __future__ import annotations

import pytest

from devbench.analysis.operators import delegate_time_share
from devbench.bench.records import operator_records
from devbench.tool.parse import parse_text

PROFILE = (
    "Operator-wise Profiling Info for Regular Benchmark Runs:\n============ Run Order ============\n"
    "\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]\n"
    "\t{name}\t3.0\t3.0\t75.000%\t75.000%\t0.000\t1\t[a]:0\n"
    "\tSOFTMAX\t1.0\t1.0\t25.000%\t100.000%\t0.000\t1\t[b]:1\n"
)


@pytest.mark.parametrize("name", ["TfLiteQnnDelegate", "DispatchDelegate", "MyNpu", "LITERT_CL", "Ethos-U"])
def test_the_row_of_a_delegate_s_partition_is_told_by_the_name_under_which_it_took_nodes(name: str) -> None:
    took = f"INFO: Replacing 9 out of 10 node(s) with delegate ({name}) node, yielding 2 partitions for subgraph 0.\n"
    rows = operator_records(parse_text("STARTING!\n" + took + PROFILE.format(name=name)))
    assert [row.is_partition for row in rows] == [True, False]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.75)
