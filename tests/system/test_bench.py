# SPDX-License-Identifier: MIT
"""Every case of ./dev bench in a tiny size: that it works, not how fast. The generator itself
checks that each message arrives once, in order and unchanged."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import bench  # noqa: E402
from cases import CASES, SIZES  # noqa: E402
from stores import CASES as STORE_CASES  # noqa: E402

SMALL = SIZES["small"]
MESSAGES = {
    "limits": [],
    "local": [200, 200, 100], "federated": [200, 200, 100], "receipts": [200],
    "offline": [200, 200], "catchup": [300, 300], "longlink": [200, 100],
    "many": [14, 14, 14, 14], "devices": [40], "idle": [100] * 4, "claims": [40, 40],
    "senders": [200] * 4, "http": [200, 200],
    "waiting": [200, 200, 200] * 2 + [100, 100],
}


@pytest.mark.parametrize("name", CASES)
def test_case_measures_all_of_its_messages(name, tmp_path, capsys):
    bench.run([name], SMALL, tmp_path)

    rows = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
    counts = [row["messages"] for row in rows if "messages" in row]
    assert counts[:len(MESSAGES[name])] == MESSAGES[name]
    assert all(node["cpu_us_per_message"] > 0 for row in rows if "messages" in row
               for node in row["nodes"].values())
    assert all(row["nodes"][domain]["share_of_limit"] > 0 for row in rows
               for domain in row.get("work", {}))
    out = capsys.readouterr().out
    assert all(row["name"] in out for row in rows)


@pytest.mark.parametrize("name", STORE_CASES)
def test_case_with_postgresql_says_what_its_server_takes(name, tmp_path, capsys):
    bench.run([name], SMALL, tmp_path, store="postgres")

    rows = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
    assert [row["messages"] for row in rows][:len(MESSAGES[name])] == MESSAGES[name]
    servers = [row["nodes"]["PostgreSQL"] for row in rows]
    assert all(server["cpu_us_per_message"] > 0 for server in servers)
    assert all(server["disk_bytes_per_message"] > 0 for server in servers)
    assert "PostgreSQL: " in capsys.readouterr().out


def test_limits_are_measured_without_a_node(tmp_path):
    bench.run(["limits"], SMALL, tmp_path)

    limits = json.loads((tmp_path / "limits.json").read_text())["rows"][0]
    assert limits["tls_cipher"].startswith("TLS_")
    assert all(value > 0 for value in limits.values() if isinstance(value, (int, float)))
    assert limits["sign_us"] < limits["verify_us"]


def test_report_of_several_runs_has_their_medians():
    runs = [{"rows": [{"name": "a", "us": us, "nodes": {"a.test": {"rss_mb": us + 1}}}]}
            for us in (3, 9, 4)]

    assert bench.median(runs) == {
        "rows": [{"name": "a", "us": 4, "nodes": {"a.test": {"rss_mb": 5}}}]}


def test_drawing_has_a_line_for_each_series_and_a_point_for_each_row():
    rows = [{"plot": {"axis": "senders", "at": at, "line": line},
             "nodes": {"a.test": {"cpu_us_per_message": at + 40}}}
            for line in ("windows of 64", "windows of 512") for at in (0, 1, 256)]

    svg = ElementTree.fromstring(bench.plot("senders", rows))
    tags = [element.tag.split("}")[1] for element in svg]
    assert (tags.count("polyline"), tags.count("circle")) == (2, 6)
    assert bench.plot("many", [{"name": "no place in a drawing"}]) is None


def test_long_link_delays_every_message_by_its_way(tmp_path):
    bench.run(["longlink"], SMALL, tmp_path)

    rows = json.loads((tmp_path / "longlink.json").read_text())["rows"]
    assert rows[-1]["latency_ms"]["p50"] >= SMALL.delay_ms
