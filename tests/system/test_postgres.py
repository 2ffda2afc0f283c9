# SPDX-License-Identifier: MIT
"""A node on PostgreSQL whose server or connection fails: clients are told to come back, nothing
that was accepted is lost or comes twice, and the node goes on without a restart, or ends where
the server has lost something. Letters are open here."""

import contextlib
import http.client
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest

from client import ApiError, Client, make_message
from cutter import DOWN, UP, Cutter
from lab import ADDRESS, free_port, wait_until
from lab_fixtures import lab  # noqa: F401
from postgres import Postgres
from scenario import OPTIONS, letter, post, user
from sealer import SealerDevice, b64
from test_operator import of

sys.path.append(str(Path(__file__).resolve().parents[1] / "soak"))

from actors import HttpSender, Receiver, SocketSender  # noqa: E402
from check import Check  # noqa: E402

PASSWORD = "p@ss/w:rd%?#"
HBA = """local all all trust
local replication all trust
host all careful 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
CONNECTIONS = 12
RESERVED = 3  # of them for superusers
ANSWER_S = 10
LOCK_S = 3
STATISTICS_S = 1.1  # after so long a connection tells them with its next transaction
MIB = 1 << 20


class Person:
    """An account with one device."""

    def __init__(self, node, name, one_time_prekeys=0):
        self.device = SealerDevice(name, one_time_prekeys)
        self.client = Client(node)
        self.client.register(user(name), self.device.public)

    @property
    def address(self):
        return self.client.address

    @property
    def device_id(self):
        return self.client.device_id

    def take(self):
        """Ids of all letters that are there, which are acknowledged."""
        ids = []
        while items := self.client.mailbox()["items"]:
            ids += [item["id"] for item in items]
            self.client.ack(items[-1]["seq"])
        return ids


class Load:
    """Senders and receivers at work. In the end what was accepted must be where it belongs, once
    and in order, and nothing was refused but for a while."""
    refusals_expected = {503}

    def __init__(self, *nodes):
        self.enough, self.closing = threading.Event(), threading.Event()
        self.refusals = Counter()
        self._receivers = [Receiver(self, nodes[i % len(nodes)], "phone",
                                    random.Random(i)).register(user("ann")) for i in range(2)]
        to = [receiver.client.address for receiver in self._receivers]
        self._senders = [kind(self, nodes[i // 2 % len(nodes)], "sender", random.Random(i),
                              to).register(user("sender"))
                         for i, kind in enumerate((HttpSender, SocketSender) * 2)]

    def __enter__(self):
        for device in [*self._senders, *self._receivers]:
            device.start()
        self._await_some()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._await_some()
        for over, devices in (self.enough, self._senders), (self.closing, self._receivers):
            over.set()
            for device in devices:
                device.join(60)
                assert not device.is_alive(), f"{device} does not come to an end"
        if kind is None:
            self._verify()

    def _arrived(self):
        return sum(len(receiver.mailbox.items) for receiver in self._receivers)

    def _await_some(self):
        before = self._arrived()
        wait_until(lambda: self._arrived() >= before + 10, "some letters", 30)

    def _verify(self):
        while any([device.empty() for device in [*self._senders, *self._receivers]]):
            continue
        check = Check(self._senders, self._receivers, {}, {})
        assert check.run() == []
        assert check.delivered >= 20
        assert {status for status, _ in self.refusals} <= self.refusals_expected, self.refusals


@pytest.fixture(scope="module")
def server():
    with Postgres(free_port(), fsync="off", max_connections=CONNECTIONS,
                  superuser_reserved_connections=RESERVED,
                  deadlock_timeout="2s") as server:
        (server.data / "pg_hba.conf").write_text(HBA)
        server.sql("SELECT pg_reload_conf()")
        server.sql("CREATE ROLE node LOGIN")
        server.sql(f"CREATE ROLE careful LOGIN PASSWORD '{PASSWORD}'")
        yield server


def new_database(server, name, owner="node", *more):
    server.run("createdb", "-O", owner, *more, name)
    return name


def url(port, database, who="node"):
    return f"postgresql://{who}@{ADDRESS}:{port}/{database}"


@pytest.fixture(scope="module")
def cutter(server):
    cutter = Cutter(server.settings["port"])
    cutter.start()
    return cutter


@pytest.fixture(scope="module")
def serving(lab, server, cutter):
    new_database(server, "main")
    node = lab.add_node("a.test", **OPTIONS, store__url=url(cutter.port, "main"))
    node.start()
    return node


@pytest.fixture
def node(serving):
    """The node that must survive it all."""
    pid = serving.pid
    yield serving
    serving.wait_ready()
    assert serving.running() and serving.pid == pid
    assert "event=restored" not in serving.log_text()


def try_post(sender, message):
    return try_post_by(sender.client, message)


def try_post_by(client, message):
    """None: posted. Else how it was refused, which must be for a while."""
    try:
        client.call("POST", "messages/send", message)
    except ApiError as refused:
        assert (refused.status, refused.code) == (503, "STORE_UNAVAILABLE")
        assert int(refused.retry_after) >= 1
        return refused
    return None


def post_at_last(sender, message):
    wait_until(lambda: try_post(sender, message) is None, "an answer", 20)


def must_be_out(node, sender, to):
    """Clients are told so, and whoever asks whether the node is ready."""
    message = letter_of(sender, to)
    wait_until(lambda: try_post(sender, message), "a refusal", ANSWER_S + 5)
    wait_until(lambda: node.get("/readyz")[0] == 503, "the node to be out of order")


def letter_of(sender, to, content="hello"):
    """Without asking the node."""
    device = {"device_id": to.device_id, "registration_id": to.device.public["registration_id"],
              "type": 1, "content": b64(content.encode())}
    return make_message(to.address, [device])


# The server goes away and comes back

def stop_fast(server, cutter, out):
    server.stop()
    out()
    server.start()


def stop_at_once(server, cutter, out):
    server.stop(signal.SIGQUIT)
    out()
    server.start()


def kill_a_session(server, cutter, out):
    """The server then ends all others, and goes over its log."""
    pid = server.sql("SELECT max(pid) FROM pg_stat_activity WHERE usename = 'node'")
    server.kill_one(int(pid))
    wait_until(server.answers, "the server")


def end_sessions(server, cutter, out):
    for _ in range(10):
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                   " WHERE usename = 'node' AND random() < 0.7")
        time.sleep(random.uniform(0, 0.1))


def cut_connections(server, cutter, out):
    for _ in range(20):
        cutter.cut_all()
        time.sleep(random.uniform(0, 0.1))


@pytest.mark.parametrize("blow", [stop_fast, stop_at_once, kill_a_session, end_sessions,
                                  cut_connections], ids=lambda blow: blow.__name__)
def test_nothing_is_lost_or_doubled_when_the_server_or_the_way_to_it_fails(node, server, cutter,
                                                                           blow):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    with Load(node):
        blow(server, cutter, lambda: must_be_out(node, alice, bob))
        node.wait_ready()


def test_a_server_that_hangs_holds_nobody_for_long(node, server):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    with Load(node):
        server.pause()
        try:
            must_be_out(node, alice, bob)
        finally:
            server.resume()
        node.wait_ready()


def test_a_connection_that_has_ended_meanwhile_is_not_noticed(node, server):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    # While the server was away the node might look, and would then know.
    server.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
               " WHERE usename = 'node'")
    post(alice, letter(alice, bob.address, "hello"))
    assert len(bob.take()) == 1


def test_a_node_ends_in_order_while_the_server_is_away(restorable, server):
    node, *_ = restorable
    server.stop()
    node.stop()
    server.start()
    node.start()
    assert "event=restored" not in node.log_text()
    node.stop()


def cuts_of(size):
    """Where to cut something that long: everywhere near its end, where the commit is."""
    return [*range(random.randrange(30), size - 100, 30), *range(max(0, size - 100), size + 20, 4)]


@pytest.mark.parametrize("way", [UP, DOWN])
def test_a_send_is_done_once_wherever_the_connection_ends(node, cutter, way):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    sent = []

    def send():
        message = letter_of(alice, bob)
        sent.append(message["id"])
        post_at_last(alice, message)

    for _ in range(3):  # then the node remembers what it needs of both
        send()
    before = cutter.passed[way]
    send()
    size = cutter.passed[way] - before
    log = len(node.log_text())

    def decided():
        return set(re.findall(r"event=store_decided committed=(\d)", node.log_text()[log:]))

    # Both are to happen: a commit without an answer, and none. Of a few places only does a
    # commit pass without its answer; what else the node says meanwhile moves them.
    expected = {"0", "1"} if way == UP else {"1"}
    for places in cuts_of(size), *[range(size - 20, size + 20)] * 3:
        for place in places:
            cutter.arm(way, place)
            send()
        if decided() == expected:
            break
    cutter.disarm()
    assert decided() == expected
    assert bob.take() == sent


def test_a_server_that_stops_right_behind_a_commit_has_committed(node, cutter):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    sent, log = [], len(node.log_text())
    for _ in range(5):
        message = letter_of(alice, bob)
        sent.append(message["id"])
        cutter.end_behind_commit()
        assert try_post(alice, message) is None
    assert bob.take() == sent
    assert set(re.findall(r"event=store_decided committed=(\d)", node.log_text()[log:])) == {"1"}


def test_a_portion_of_a_mailbox_brings_no_other_bodies_along(node, cutter):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    content = "x" * 60000
    for _ in range(80):
        assert try_post(alice, letter_of(alice, bob, content)) is None
    before = cutter.passed[DOWN]
    portion = bob.client.mailbox()
    passed = cutter.passed[DOWN] - before
    used = sum(len(item["content"]) for item in portion["items"])
    assert portion["more"] and used > 3 * MIB
    assert passed < used + MIB


def entries_read(server):
    """Of the index of mailboxes, as the node's connections have told."""
    return int(server.sql("SELECT idx_tup_read FROM pg_stat_user_indexes"
                          " WHERE indexrelname = 'mailbox_generation'", "main"))


def test_rows_that_are_gone_are_not_gone_over_again(node, server):
    """Also where the server believes that there are many in each mailbox."""
    alice, bob = Person(node, "alice"), Person(node, "bob")
    server.sql("INSERT INTO mailbox (seq, generation, kind, bytes, expires_ms, body)"
               " SELECT -i, 1000000 + i * 7919 % 20011, 1, 0, 1e15, ''"
               " FROM generate_series(1, 20000) AS i;"
               " ALTER TABLE mailbox ALTER generation SET (n_distinct = 100); ANALYZE mailbox",
               "main")
    before = entries_read(server)
    for i in range(150):
        time.sleep(STATISTICS_S if i == 149 else 0)
        assert try_post(alice, letter_of(alice, bob)) is None
        assert bob.client.ack(1 << 52)["removed"] == 1
    assert 150 <= entries_read(server) - before < 5000
    server.sql("DELETE FROM mailbox WHERE seq < 0;"
               " ALTER TABLE mailbox ALTER generation RESET (n_distinct)", "main")


# The server is there, and cannot

def ask(session, sql):
    """Something with one line of an answer."""
    session.stdin.write(f"{sql};\n")
    session.stdin.flush()
    assert session.stdout.readline().strip().isdigit()
    return session


def test_a_lock_that_others_hold_is_waited_for_once(node, server):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    messages = [letter_of(alice, bob) for _ in range(12)]
    with server.session("main") as other, ThreadPoolExecutor(12) as threads:
        ask(other, "BEGIN; LOCK TABLE mailbox; SELECT 1")
        began = time.monotonic()
        clients = [Client(node) for _ in messages]
        for client in clients:
            client.access_token = alice.client.access_token
        refusals = list(threads.map(try_post_by, clients, messages))
        assert all(refusals) and time.monotonic() - began < 3 * LOCK_S
        other.communicate("ROLLBACK;\n")
    for message in messages:
        post_at_last(alice, message)
    assert sorted(bob.take()) == sorted(message["id"] for message in messages)


# A sweep, which may come meanwhile, does not wait for an id.
LOCK_BEHIND_THE_SEND = """
    DO $$ BEGIN
        WHILE NOT EXISTS (SELECT FROM pg_locks
            WHERE locktype = 'transactionid' AND NOT granted)
        LOOP PERFORM pg_sleep(0.01); END LOOP;
        LOCK TABLE writer;
    END $$;
    ROLLBACK;
"""


def test_a_deadlock_with_others_is_over_for_the_next_try(node, server):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    message = letter_of(alice, bob)
    with server.session("main") as other, ThreadPoolExecutor(1) as threads:
        ask(other, "SET deadlock_timeout = '20s'; SET statement_timeout = '30s'; BEGIN;"
                   " INSERT INTO sent (message_id, generation, recipient, status, sent_ms)"
                   f" SELECT '\\x{UUID(message['id']).hex}', generation, '', 0, 0 FROM device;"
                   " SELECT 1")
        refused = threads.submit(try_post, alice, message)
        other.communicate(LOCK_BEHIND_THE_SEND)
        assert refused.result() is not None
    assert "deadlock detected" in node.log_text()
    post_at_last(alice, message)
    assert bob.take() == [message["id"]]


def test_a_server_without_room_refuses_what_it_cannot_keep(node, server):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    content = random.randbytes(30000).hex()
    accepted = []
    server.limit_files(16 << 20)  # as much as a file of its log has
    try:
        while len(accepted) < 600:
            message = letter_of(alice, bob, content)
            if try_post(alice, message) is not None:
                break
            accepted.append(message["id"])
        assert "File too large" in node.log_text()
        assert node.get("/healthz")[0] == 200
    finally:
        server.limit_files("unlimited")
    post_at_last(alice, message)
    assert bob.take() == [*accepted, message["id"]]


def test_a_server_with_too_many_connections_is_waited_for(node, server):
    alice, bob = Person(node, "alice"), Person(node, "bob")
    message = letter_of(alice, bob)
    others = [ask(server.session("main"), "SELECT 1") for _ in range(CONNECTIONS - RESERVED)]
    ask(others[0], "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                   " WHERE usename = 'node'")
    must_be_out(node, alice, bob)
    assert "connection slots are reserved" in node.log_text()
    for other in others:
        other.communicate("")
    post_at_last(alice, message)
    assert message["id"] in bob.take()


# What is refused at the start

def test_nodes_of_one_domain_serve_a_database(node, lab, server):
    second = lab.add_node("second.test", **OPTIONS, store__url=node.options["store.url"])
    status, text = of(second, "serve")
    assert status == 1 and "a node of another domain serves this database" in text
    for command in "check", "invite":
        assert of(node, command)[0] == 0


@pytest.fixture(scope="module")
def stopped(lab):
    return lab.add_node("stopped.test", **OPTIONS)


def refused(stopped, address):
    """What is said about a database that cannot be used."""
    stopped.set({"store.url": address})
    said = ""
    for command in "check", "serve":
        status, text = of(stopped, command)
        assert status == 1 and "Sanitizer" not in text
        said += text
    return said


def test_what_is_wrong_with_the_database_is_said(stopped, server):
    port = server.settings["port"]
    assert "Connection refused" in refused(stopped, url(free_port(), "main"))
    assert "does not exist" in refused(stopped, url(port, "nowhere"))
    assert "not UTF8" in refused(stopped, url(port, new_database(
        server, "ascii", "node", "-E", "SQL_ASCII", "-T", "template0")))
    server.sql("CREATE TABLE migration (number BIGINT); INSERT INTO migration VALUES (999);"
               " GRANT SELECT ON migration TO node", new_database(server, "newer"))
    said = refused(stopped, url(port, "newer"))
    assert said.count("newer than this program") == 2
    two = f"postgresql://node@{ADDRESS},{ADDRESS}/nowhere?port={free_port()},{port}"
    said = refused(stopped, two)
    assert "Connection refused" in said and "does not exist" in said


def test_passwords_are_taken_and_never_shown(stopped, server):
    port = server.settings["port"]
    database = new_database(server, "secret", "careful")
    good = f"careful:{quote(PASSWORD, safe='')}"
    assert "authentication failed" in refused(stopped, url(port, database, "careful:p%40ss"))
    for unreadable in f"careful:{PASSWORD}", "careful:pass%zz", "careful:p@ss", "careful:pass/x":
        said = refused(stopped, url(port, database, unreadable))
        assert "%40 for @" in said and "pass" not in said.replace("password", "")
        assert "ss" not in re.findall(r'"(.*?)"', said)
    stopped.set({"store.url": url(port, database, good)})
    assert of(stopped, "check")[0] == 0
    stopped.start()
    stopped.stop()
    assert PASSWORD not in stopped.log_text() and quote(PASSWORD, safe="") not in stopped.log_text()


# Another database than before

def keys_in(bundles):
    return {device["one_time_prekey"]["public_key"] for device in bundles["devices"]
            if device["one_time_prekey"]}


def put_into_new_database(server, database, dump):
    server.run("dropdb", "--force", database)
    new_database(server, database)
    server.run(*server.psql(database), "-f", dump)


def put_into_same_database(server, database, dump):
    server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION node", database)
    server.run(*server.psql(database), "-f", dump)


@pytest.fixture
def restorable(lab, server):
    """A node of its own database, its name, and somebody who has one-time keys."""
    name = user("restored")
    node = lab.add_node(f"{name}.test", **OPTIONS,
                        store__url=url(server.settings["port"], new_database(server, name)))
    node.start()
    alice, bob = Person(node, "alice", one_time_prekeys=20), Person(node, "bob")
    alice.client.accept(bob.address)
    return node, name, alice, bob


LOST = "the database has lost what was committed"
GONE = "the database does not know this process any more"


def runs_when_asked(node):
    """Whoever asks whether it is ready has the node look at its database."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        node.get("/readyz")
    return node.running()


def must_end_and_count_as_restored(node, *reasons):
    wait_until(lambda: not runs_when_asked(node), "the node to end")
    assert any(reason in node.log_text() for reason in reasons)
    node.start()
    assert "event=restored" in node.log_text()


def dump(server, database):
    path = server.folder / f"{database}.sql"
    server.run("pg_dump", "-f", path, database)
    return path


@pytest.mark.parametrize("put, end", [(put_into_new_database, "stop"),
                                      (put_into_same_database, "kill")],
                         ids=["new database", "same database"])
def test_no_one_time_key_goes_out_twice_after_a_dump_was_put_back(restorable, server, put, end):
    node, database, alice, bob = restorable
    handed_out = keys_in(bob.client.claim(alice.address))
    copy = dump(server, database)
    handed_out |= keys_in(bob.client.claim(alice.address))
    assert len(handed_out) == 2
    getattr(node, end)()
    put(server, database, copy)
    node.start()
    assert "event=restored reason=other_database" in node.log_text()
    assert not keys_in(bob.client.claim(alice.address))
    node.restart()
    assert node.log_text().count("event=restored") == 1
    post(bob, letter(bob, alice.address, "hello"))
    assert len(alice.take()) == 1
    node.stop()


@pytest.mark.parametrize("knows_the_process", [True, False])
def test_a_dump_that_is_put_back_beneath_a_running_node_ends_it(restorable, server,
                                                                knows_the_process):
    node, database, alice, bob = restorable
    copy = dump(server, database)
    handed_out = keys_in(bob.client.claim(alice.address))
    put_into_same_database(server, database, copy)
    if not knows_the_process:
        server.sql("DELETE FROM process", database)
    must_end_and_count_as_restored(node, LOST, GONE)  # whichever thread sees it first
    assert "event=fatal" in node.log_text()
    assert handed_out and not keys_in(bob.client.claim(alice.address))
    node.stop()


# Replicas

@pytest.fixture
def replicated(lab):
    """A server and one that follows it, and a node that knows both."""
    ports = free_port(), free_port()
    with Postgres(ports[0], fsync="off") as first:
        first.sql("CREATE ROLE node LOGIN")
        new_database(first, "main")
        with first.standby(ports[1], fsync="off") as second:
            address = f"postgresql://node@{ADDRESS},{ADDRESS}/main?port={ports[0]},{ports[1]}"
            node = lab.add_node(f"{user('replicated')}.test", **OPTIONS, store__url=address)
            yield first, second, node


def replicate_synchronously(first):
    first.configure(synchronous_standby_names="*")
    first.sql("SELECT pg_reload_conf()")
    wait_until(lambda: first.sql("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
               "the standby")


def test_a_failover_with_synchronous_replication_loses_nothing(replicated):
    first, second, node = replicated
    replicate_synchronously(first)
    node.start()
    pid = node.pid
    alice, bob = Person(node, "alice"), Person(node, "bob")

    # A commit that somebody has let go before the standby had it is not acknowledged.
    message = letter_of(alice, bob)
    with ThreadPoolExecutor(1) as threads:
        second.pause()
        posted = threads.submit(post_at_last, alice, message)
        wait_until(lambda: first.sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                                     " WHERE wait_event = 'SyncRep'"), "the commit")
        wait_until(lambda: "wait for a standby was ended" in node.log_text(), "a word about it")
        time.sleep(0.3)
        assert not posted.done()
        second.resume()
        posted.result()
    assert bob.take() == [message["id"]]

    with Load(node):
        first.stop(signal.SIGQUIT)
        must_be_out(node, alice, bob)
        second.sql("SELECT pg_promote()")
        node.wait_ready()
    assert node.pid == pid
    node.restart()
    assert "event=restored" not in node.log_text()
    node.stop()


def test_a_failover_that_has_lost_something_ends_the_node_and_counts_as_a_restore(replicated):
    first, second, node = replicated
    node.start()
    alice, bob = Person(node, "alice", one_time_prekeys=5), Person(node, "bob")
    alice.client.accept(bob.address)
    position = first.sql("SELECT pg_current_wal_lsn()")
    wait_until(lambda: second.sql(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") == "t",
               "the standby")
    second.stop()
    handed_out = keys_in(bob.client.claim(alice.address))
    first.stop(signal.SIGQUIT)
    second.start()
    second.sql("SELECT pg_promote()")
    must_end_and_count_as_restored(node, LOST)
    assert handed_out and not keys_in(bob.client.claim(alice.address))
    node.stop()
