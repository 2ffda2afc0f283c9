# SPDX-License-Identifier: MIT
"""./dev bench --against, in a tiny size and with Prosody: that both sides work. The generator
itself checks that each message arrives once, in order and unchanged."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import bench  # noqa: E402, F401  (brings the lab's folder onto the path)
from against import compare  # noqa: E402
import report  # noqa: E402
from sizes import SIZES  # noqa: E402


def run(case, folder):
    compare.run("prosody", [case], SIZES["small"], folder)
    return json.loads((folder / "against-prosody.json").read_text())["cases"][case]


@pytest.mark.parametrize("case, messages", [
    ("federated", {"Restante": 200, "Prosody, files": 200}),
    ("offline_federated", {"Restante": 200, "Prosody, files": 200, "Prosody, sqlite": 8})])
def test_both_sides_take_all_messages_of_a_case(case, messages, tmp_path, capsys):
    rows = run(case, tmp_path)

    assert {name: side[0]["messages"] for name, side in rows.items()} == messages
    for side in rows.values():
        assert all(node["cpu_us_per_message"] > 0 for node in side[0]["nodes"].values())
        assert len(side[0]["nodes"]) == 2
    assert "messages per CPU second" in capsys.readouterr().out


def test_idle_connections_cost_memory_on_both_sides(tmp_path):
    rows = run("idle", tmp_path)

    assert all(row["kb_per_connection"] > 0 for side in rows.values() for row in side)


def rows_of(us, per_second=100):
    return [{"name": "as fast as it goes", "per_second": per_second,
             "nodes": {"a": {"cpu_us_per_message": us, "share_of_limit": 0.5}}},
            {"name": "100 messages a second", "latency_ms": {"p50": us},
             "nodes": {"a": {"cpu_us_per_message": us}}}]


def test_table_has_medians_ranges_and_how_many_times_better_than_the_others():
    runs = [{"servers": {name: {"local": rows_of(us * factor)} for name, factor in
                         (("Restante", 1), ("Prosody", 4), ("ejabberd", 2))}}
            for us in (10, 30, 20)]
    fast = report.Line("fast", report.per_cpu_second, ("local", "as fast"), ("local", "as fast"))
    slow = report.Line("slow", report.latency("p50"), ("local", "100"), ("local", "100"),
                       less_is_better=True)

    lines = list(report.table([report.summarize(line, runs) for line in (fast, slow)]))

    assert lines[2] == ("| fast |  | 50,000 (33,333–100,000) | 100 | 50% |"
                        " 12,500 (8,333–25,000) | 4 | 25,000 (16,667–50,000) | 2 |")
    assert lines[3].endswith("| 80 (40–120) | 4 | 40 (20–60) | 2 |")


def test_report_has_a_line_for_each_case_and_a_column_for_each_server(tmp_path):
    report.run(1, SIZES["small"], tmp_path, ["prosody"])

    head, _, *lines = (tmp_path / "report.md").read_text().splitlines()
    assert "| Prosody | × |" in head
    missing = {line.name for line in report.LINES} - {line.split(" | ")[0][2:] for line in lines}
    assert all(name.startswith("KiB") for name in missing)  # of sizes that are too large here
    assert len(json.loads((tmp_path / "report.json").read_text())["runs"]) == 1
