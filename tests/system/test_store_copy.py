# SPDX-License-Identifier: MIT
"""restante store copy: a node's database is carried over to one of the other kind, and the node
goes on with it. Letters are open here."""

import os
import pty
import re
import sqlite3
import subprocess
from contextlib import closing

import pytest

from client import Client
from lab import ROOT, find_binary, wait_until
from postgres import Postgres
from processes import die_with_parent
from scenario import OPTIONS, acquaint, join, letter, link, post
from test_accounts import login_by_signature
from test_delivery import take, text
from test_operator import of, restante
from test_restore import hear, keys_in, must_go_on, put_in_place, restores, say

MANY = 40000
KINDS = "sqlite", "postgres"
both_ways = pytest.mark.parametrize("kinds", [KINDS, KINDS[::-1]], ids="-to-".join)


@pytest.fixture(scope="module")
def server():
    with Postgres(fsync="off") as server:
        yield server


class Database:
    """A new one of that kind, as store.url names it, for a node that is stopped."""

    def __init__(self, server, folder, kind, name):
        self.server = server
        self.name = f"{name}{abs(hash(folder))}"
        self.url = server.url(self.name) if kind == "postgres" else str(folder / f"{name}.db")

    def sql(self, text):
        """The first column of the first row, if there is one."""
        if self.url.startswith("postgresql"):
            return self.server.sql(text, self.name).split("|")[0]
        with closing(sqlite3.connect(self.url)) as database, database:
            return str((database.execute(text).fetchone() or [""])[0])


@pytest.fixture
def databases(server, tmp_path, kinds):
    return [Database(server, tmp_path, kind, name) for kind, name in zip(kinds, ("old", "new"))]


@pytest.fixture
def node(lab, databases):
    """a.test on the first of them, serving."""
    node = lab.add_node("a.test", **OPTIONS, store__url=databases[0].url)
    lab.start()
    return node


def copy(node, source, target):
    return restante("store", "copy", source.url, target.url, "--config", node.config, node=node)


def copied(node, source, target):
    """Rows of each table, by its name."""
    status, said = copy(node, source, target)
    assert status == 0 and "The copy is whole" in said and "DIFFERS" not in said, said
    return {table: int(rows) for table, rows in
            re.findall(r"^(\w+) +(\d+)  [0-9a-f]{64}$", said, re.MULTILINE)}


def move(node, target):
    node.set({"store.url": target.url})


def generation(database):
    return int(database.sql("SELECT max(generation) FROM device"))


# A node that goes on


@both_ways
def test_a_node_goes_on_where_it_was(lab, node, databases, signal):
    """With something in every table."""
    other = lab.add_node("b.test", **OPTIONS)
    other.start()
    other.publish()
    lab.names.apply()
    alice, neighbour, bob = join(signal, node, "alice"), join(signal, node, "neighbour"), \
        join(signal, other, "bob")
    acquaint(alice, neighbour, bob)
    say(alice, bob, "before")
    say(bob, alice, "before")
    hear(alice, "before")
    hear(bob, "before")
    login_by_signature(neighbour)
    handed_out = keys_in(bob.client.claim(alice.address))
    again = neighbour.client.claim(alice.address, claim_id="remembered")
    handed_out |= keys_in(again)
    tablet = link(signal, alice)
    removed = generation(databases[0])
    alice.client.remove_device(tablet.device_id)
    token = alice.client.link_token()["token"]
    of(node, "invite")
    waits, queued = letter(neighbour, alice.address, "in the mailbox"), \
        letter(alice, bob.address, "in the outbox")
    other.stop()
    post(neighbour, waits)
    post(alice, queued)
    node.stop()
    assert restante("peer", "block", "c.test", "--config", node.config, node=node)[0] == 0

    rows = copied(node, *databases)
    assert len(rows) >= 21 and min(rows.values()) > 0, rows
    assert rows == {table: int(databases[0].sql(f"SELECT count(*) FROM {table}"))
                    for table in rows} | {"meta": rows["meta"]}
    move(node, databases[1])
    node.start()
    other.start()

    assert "event=restored" not in node.log_text() and restores(node) == 0
    assert [text(item) for item in take(alice)] == ["in the mailbox"]
    hear(bob, "in the outbox")
    must_go_on(alice, bob)
    assert neighbour.client.claim(alice.address, claim_id="remembered") == again
    assert not keys_in(bob.client.claim(alice.address)) & handed_out
    Client(node).link(token, signal.device("tablet").public)
    assert generation(databases[1]) > removed
    assert "event=stream_reset" not in node.log_text() + other.log_text()
    assert node.metric("restante_store_errors_total") == 0
    node.restart()
    assert "event=restored" not in node.log_text()


@both_ways
def test_what_was_copied_counts_as_older_from_then_on(node, databases):
    node.stop()
    copied(node, *databases)
    node.start()
    assert "event=restored reason=older_database" in node.log_text()
    node.stop()
    move(node, databases[1])
    node.start()
    assert node.log_text().count("event=restored reason=older_database") == 2


def test_a_restored_database_is_one_as_a_copy_too(lab, server, signal, tmp_path):
    node = lab.add_node("a.test", **OPTIONS)
    lab.start()
    source = Database(server, node.folder, "sqlite", "data/restante")
    target = Database(server, tmp_path, "postgres", "new")
    node.stop()
    database = node.folder / "data/restante.db"
    source.url = str(database)
    backup = tmp_path / "backup.db"
    backup.write_bytes(database.read_bytes())
    backup.chmod(0o600)
    node.start()
    node.stop()
    put_in_place(node, backup)
    status, said = copy(node, source, target)
    assert status == 0 and "counts as restored from a backup" in said and "other_file" in said
    move(node, target)
    node.start()
    assert "event=restored reason=marked" in node.log_text()


def test_a_schema_of_the_past_is_brought_up_to_date(lab, server, tmp_path):
    node = lab.add_node("a.test", **OPTIONS)
    old, new = (Database(server, tmp_path, kind, kind) for kind in KINDS)
    first = sorted((ROOT / "migrations/sqlite").glob("*.sql"))[0]
    with closing(sqlite3.connect(old.url)) as database:
        database.executescript(first.read_text() + "PRAGMA user_version = 1;"
                               "INSERT INTO account (user, list_version, created_ms)"
                               " VALUES ('alice', 1, 1)")
    assert copied(node, old, new)["account"] == 1
    assert new.sql("SELECT name FROM account") == "alice"


# Cut off


def fill(database):
    """Mail for a device that is not there."""
    database.sql("INSERT INTO mailbox (seq, generation, kind, bytes, expires_ms, sender, body)"
                 " WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
                 f" WHERE i < {MANY})"
                 " SELECT -i, 99999999, 1, 0, 99999999999999, 'bob@b.test',"
                 " CAST('0123456789012345678901234567890123456789' AS blob) FROM n")


def be_slow():
    """Whoever waits for a moment to kill this comes first."""
    os.nice(19)
    die_with_parent()


def kill_when(node, source, target, line):
    """And, in a file, after a first transaction."""
    process = subprocess.Popen(
        [find_binary(), "store", "copy", source.url, target.url, "--config", node.config],
        text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=be_slow)
    with process.stderr:
        assert any(said.startswith(line) for said in process.stderr)
        if line == "copying mailbox" and not target.url.startswith("postgresql"):
            wait_until(lambda: os.stat(target.url + "-wal").st_size > 1 << 20, "rows", 20, 0.001)
        process.kill()
    assert process.wait() == -9


def is_refused(node):
    """By a node that starts."""
    status, said = of(node, "serve")
    return status == 1 and "a copy that is not finished" in said


def is_refused_by_commands(node):
    said = [restante(*command, "--config", node.config, node=node)
            for command in (["invite"], ["peer", "list"], ["peer", "flush", "b.test"],
                            ["restored"])]
    return all(status == 1 and "a copy that is not finished" in text for status, text in said)


@pytest.mark.parametrize("line", ["copying mailbox", "comparing mailbox"])
@both_ways
def test_a_copy_that_was_killed_is_finished_by_the_next(node, databases, line):
    fill(databases[0])
    node.stop()
    kill_when(node, *databases, line)
    move(node, databases[1])
    assert is_refused(node)
    assert is_refused_by_commands(node)
    rows = copied(node, *databases)
    assert rows["mailbox"] == MANY == int(databases[1].sql("SELECT count(*) FROM mailbox"))
    node.start()
    assert restores(node) == 0


@both_ways
def test_a_copy_is_begun_anew_when_its_source_has_changed_since(node, databases):
    fill(databases[0])
    node.stop()
    kill_when(node, *databases, "comparing mailbox")
    node.start()
    databases[0].sql("UPDATE mailbox SET seq = seq - 1000000")
    node.stop()
    assert copied(node, *databases)["mailbox"] == MANY
    assert int(databases[1].sql("SELECT max(seq) FROM mailbox")) < -1000000


# What differs, and what is refused


@both_ways
def test_a_difference_is_found_and_the_copy_not_served(node, databases):
    fill(databases[0])
    node.stop()
    kill_when(node, *databases, "comparing mailbox")
    databases[1].sql("UPDATE mailbox SET expires_ms = expires_ms + 1 WHERE seq = -7")
    status, said = copy(node, *databases)
    assert status == 1 and "differs" in said
    assert re.search(rf"^mailbox +{MANY}  \w+\n  in the copy +{MANY}  \w+  DIFFERS$", said, re.M)
    assert said.count("DIFFERS") == 1
    move(node, databases[1])
    assert is_refused(node)
    assert copied(node, *databases)["mailbox"] == MANY
    assert databases[1].sql("SELECT expires_ms FROM mailbox WHERE seq = -7") == "9" * 14


@both_ways
def test_a_database_that_is_served_is_neither_read_nor_written(lab, node, databases, signal):
    alice = join(signal, node, "alice")
    reason = "stop the node first|another node serves this database"
    for source, target in databases, databases[::-1]:
        if source is databases[1]:
            other = lab.add_node("b.test", **OPTIONS, store__url=source.url)
            other.start()
            other.stop()
        status, said = copy(node, source, target)
        assert status == 1 and re.search(reason, said)
    assert alice.client.key_stats()
    assert restores(node) == 0


@both_ways
def test_nothing_is_written_over(lab, node, databases):
    node.stop()
    move(node, databases[1])
    node.start()
    node.stop()
    before = databases[1].sql("SELECT value FROM meta WHERE name = 'generation'")
    status, said = copy(node, *databases)
    assert status == 1 and "the target is not empty" in said
    assert databases[1].sql("SELECT value FROM meta WHERE name = 'generation'") == before


@both_ways
def test_there_must_be_something_to_copy(lab, databases, kinds):
    node = lab.add_node("a.test", **OPTIONS)
    status, said = copy(node, *databases)
    assert status == 1 and "restante serve makes" in said
    assert kinds[1] == "postgres" or not os.path.exists(databases[1].url)


def test_words(lab):
    node = lab.add_node("a.test", **OPTIONS)
    for words in [], ["a.db"], ["", "b.db"], ["a.db", ""], ["a.db", "b.db", "c.db"]:
        assert restante("store", "copy", *words, "--config", node.config, node=node)[0] == 2
    status, said = restante("store", "copy", "a.db", "mysql://b", "--config", node.config,
                            node=node)
    assert status == 1
    assert restante("store")[0] == 2


@pytest.mark.parametrize("kinds", [KINDS])
def test_on_a_terminal_there_is_a_bar(node, databases):
    fill(databases[0])
    node.stop()
    ours, theirs = pty.openpty()
    with open(ours, "rb", closefd=True) as screen, open(theirs, "wb", closefd=True) as terminal:
        done = subprocess.run(
            [find_binary(), "store", "copy", *(database.url for database in databases),
             "--config", node.config], stdout=subprocess.PIPE, stderr=terminal)
        assert done.returncode == 0
        assert re.search(rb"\r\[#+\.+\]  ?\d+%  copying \w+, \d+ of \d+ rows, [\d.]+ \w+",
                         os.read(screen.fileno(), 1 << 16))
