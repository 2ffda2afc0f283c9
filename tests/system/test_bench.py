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
from cases import CASES  # noqa: E402
from sizes import SIZES  # noqa: E402
from stores import CASES as STORE_CASES, ONLY_POSTGRES, STORES  # noqa: E402

SMALL = SIZES["small"]
MESSAGES = {
    "limits": [],
    "local": [200, 200, 100], "federated": [200, 200, 100], "receipts": [200],
    "offline": [200, 200], "catchup": [300, 300], "longlink": [200, 100],
    "many": [14, 14, 14, 14], "devices": [40], "idle": [100] * 5, "claims": [40, 40],
    "senders": [200] * 4, "threads": [200] * 6, "http": [200, 200],
    "waiting": [200, 200, 200] * 2 + [100, 100], "backlog": [400, 800], "processes": [200, 100, 200] * 2,
}


WITH_TESTS_OF_THEIR_OWN = {"waiting", *ONLY_POSTGRES}


@pytest.mark.parametrize("name", [name for name in CASES if name not in WITH_TESTS_OF_THEIR_OWN])
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


@pytest.mark.parametrize("name", [name for name in STORE_CASES
                                  if name not in WITH_TESTS_OF_THEIR_OWN])
def test_case_with_postgresql_says_what_its_server_takes(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("stores.COUNTED_S", 0)
    bench.run([name], SMALL, tmp_path, store="postgres")

    rows = json.loads((tmp_path / f"{name}.json").read_text())["rows"]
    assert [row["messages"] for row in rows][:len(MESSAGES[name])] == MESSAGES[name]
    servers = [row["nodes"]["PostgreSQL"] for row in rows]
    assert all(server["cpu_us_per_message"] > 0 for server in servers)
    assert all(server["disk_bytes_per_message"] > 0 for server in servers)
    assert "PostgreSQL: " in capsys.readouterr().out


@pytest.mark.parametrize("store", STORES)
def test_rows_that_wait_are_put_in_and_expire(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("stores.COUNTED_S", 0)
    bench.run(["waiting"], SMALL, tmp_path, store=store)

    rows = {row["name"]: row for row in
            json.loads((tmp_path / "waiting.json").read_text())["rows"]}
    messages = [row["messages"] for row in rows.values() if "messages" in row]
    assert messages[:len(MESSAGES["waiting"])] == MESSAGES["waiting"]
    assert rows["3,000 wait: put in"]["filled"] == 3000
    assert rows["100 messages a second, rows expire"]["expired"] > 0
    assert rows["one batch of housekeeping"]["batch_rows"] == 150
    assert rows["one batch of housekeeping"]["batch_ms"] > 0
    assert len(rows["plans"]["plans"]) > 20
    assert "DELETE FROM mailbox" in capsys.readouterr().out


def test_each_commit_of_a_node_is_a_sync_of_the_server(tmp_path):
    bench.run(["processes"], SMALL, tmp_path, store="postgres")

    rows = json.loads((tmp_path / "processes.json").read_text())["rows"]
    assert [row["messages"] for row in rows] == MESSAGES["processes"]
    steady = rows[1]
    commits = steady["nodes"]["a.test"]["commits_per_1000_messages"]
    syncs = steady["nodes"]["PostgreSQL"]["syncs_per_1000_messages"]
    assert abs(syncs - commits) < min(500, commits / 2)


def test_limits_are_measured_without_a_node(tmp_path):
    bench.run(["limits"], SMALL, tmp_path)

    limits = json.loads((tmp_path / "limits.json").read_text())["rows"][0]
    assert limits["tls_cipher"].startswith("TLS_")
    assert all(value > 0 for value in limits.values() if isinstance(value, (int, float)))
    assert limits["sign_us"] < limits["verify_us"]


def test_report_of_several_runs_has_their_medians_and_all_of_them():
    runs = [{"rows": [{"name": "a", "us": us, "nodes": {"a.test": {"rss_mb": us + 1}}}]}
            for us in (3, 9, 4)]

    assert bench.medians(runs) == {
        "rows": [{"name": "a", "us": 4, "nodes": {"a.test": {"rss_mb": 5}}}], "runs": runs}
    assert bench.medians(runs[:1]) == runs[0]


def drawn(svg):
    """How many lines and points it has."""
    tags = [element.tag.split("}")[1] for element in ElementTree.fromstring(svg)]
    return tags.count("polyline"), tags.count("circle")


def test_drawing_has_a_line_for_each_series_and_a_point_for_each_row():
    rows = [{"plot": {"axis": "senders", "at": at, "line": line},
             "nodes": {"a.test": {"cpu_us_per_message": at + 40}}}
            for line in ("windows of 64", "windows of 512") for at in (0, 1, 256)]

    assert {file: drawn(svg) for file, svg in bench.plots("senders", rows).items()} == {
        "senders.svg": (2, 6)}
    assert bench.plots("many", [{"name": "no place in a drawing"}]) == {}


def test_backlogs_are_drawn_with_throughput_and_memory(tmp_path):
    bench.run(["backlog"], SMALL, tmp_path)

    assert drawn((tmp_path / "backlog-throughput.svg").read_text()) == (1, 2)
    assert drawn((tmp_path / "backlog-memory.svg").read_text()) == (2, 4)


def test_long_link_delays_every_message_by_its_way(tmp_path):
    bench.run(["longlink"], SMALL, tmp_path)

    rows = json.loads((tmp_path / "longlink.json").read_text())["rows"]
    assert rows[-1]["latency_ms"]["p50"] >= SMALL.delay_ms
