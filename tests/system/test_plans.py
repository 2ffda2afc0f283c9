# SPDX-License-Identifier: MIT
"""What operations ask of mailboxes and outboxes is found by an index, also where much waits there:
the plans of both kinds of database."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

import waiting  # noqa: E402
from cases import world  # noqa: E402
from stores import STORES  # noqa: E402

ROWS = 20_000
# Where few devices have all of it, and one destination, reading all looks cheap.
DEVICES = 3


@pytest.fixture(scope="module", params=STORES)
def plans(request):
    with STORES[request.param](), world("a.test") as (generator, a):
        a.start()
        generator.register(a, "waiter", DEVICES)
        a.stop()
        waiting.fill(a, "waiter", ROWS)
        waiting.fill_outboxes(a, ["b.test"], ROWS)
        return waiting.plans(a)


@pytest.mark.parametrize("text", [
    "INSERT INTO mailbox", "INSERT INTO outbox", "SELECT seq, kind", "SELECT bytes, message_id",
    "SELECT count(*), CAST(coalesce(sum(bytes), 0)", "DELETE FROM mailbox WHERE generation",
    "DELETE FROM mailbox WHERE expires_ms", "DELETE FROM mailbox WHERE seq IN",
    "SELECT o.position", "DELETE FROM outbox", "SELECT position, kind", "SELECT origin, bytes",
    "SELECT account_key, bytes"])
def test_no_statement_reads_a_whole_table(plans, text):
    found = [sql for sql in plans if sql.startswith(text)]

    assert found
    assert not [(sql, plans[sql]) for sql in found if waiting.reads_too_much(sql, plans[sql])]


def test_no_other_statement_reads_a_whole_table_either(plans):
    assert len(plans) > 20
    assert not [sql for sql in plans if waiting.reads_too_much(sql, plans[sql])]
