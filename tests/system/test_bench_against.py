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
from cases import SIZES  # noqa: E402


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
