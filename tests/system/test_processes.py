# SPDX-License-Identifier: MIT
"""Several processes on one PostgreSQL database are one node: whatever comes in at one of them is
at once where it belongs, and when one dies the others go on with what it had. Letters are open
here."""

import base64
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from copy import copy

import pytest

from balancer import Balancer
from client import ApiError, Client, SocketClosed
from lab import free_port, wait_until
from lab_fixtures import lab  # noqa: F401
from postgres import Postgres
from scenario import OPTIONS, letter, post, user
from sealer import SealerDevice
from test_postgres import Load, Person, letter_of, post_at_last

AT_ONCE_S = 5     # on a busy machine; a mailbox is never looked into without a word
TAKEN_OVER_S = 20
DEAD_S = 3 * 2    # so long nobody knows that a process was killed


@pytest.fixture(scope="module")
def server():
    with Postgres(free_port(), fsync="off") as server:
        yield server


def two_processes(lab, server, domain, **options):
    node = lab.add_node(domain, store__url=server.url(domain.partition(".")[0]), **options)
    other = lab.add_process(node)
    for process in node, other:
        process.start()
    lab.names.apply()
    return node, other


@pytest.fixture(scope="module")
def node(lab, server):
    """Two processes of a.test."""
    return two_processes(lab, server, "a.test", **OPTIONS)


@pytest.fixture
def processes(node):
    """Both running, also after those tests that end one."""
    for process in node:
        if not process.running():
            process.start()
    yield node
    for process in node:
        text = process.log_text()
        assert "Sanitizer" not in text and "runtime error" not in text


@pytest.fixture(scope="module")
def b_node(lab):
    node = lab.add_node("b.test", **{**OPTIONS, "store__url": ""})
    lab.names.apply()
    return node


@pytest.fixture
def remote(b_node):
    """b.test, with one process and a database of its own."""
    if not b_node.running():
        b_node.start()
    return b_node


def at(process, person):
    """The person's device at that process."""
    other = copy(person)
    other.client = Client(process)
    other.client._begin({"address": person.address, "device_id": person.device_id,
                         "access_token": person.client.access_token,
                         "refresh_token": person.client.refresh_token})
    return other


def connect(process, person):
    socket = at(process, person).client.socket()
    socket.wait_for("queue_empty")
    return socket


def send(process, sender, to, text, **more):
    """The message's id."""
    sender = at(process, sender)
    return post(sender, letter(sender, to.address, text, **more))["id"]


def texts(items):
    return [base64.b64decode(item["content"]).decode() for item in items]


def acquaint(*people):
    for one in people:
        for other in people:
            if one is not other:
                one.client.accept(other.address)


def take_texts(person, count, seconds=TAKEN_OVER_S):
    """Of that many letters in the mailbox, in order."""
    wait_until(lambda: len(person.client.mailbox()["items"]) >= count, f"{count} letters", seconds)
    return texts(item for item in person.client.mailbox()["items"]
                 if item["kind"] == "envelope")


# What is told across

def test_a_letter_from_either_process_is_at_once_at_the_socket(processes):
    one, other = processes
    alice, bob = Person(one, "alice"), Person(other, "bob")
    with connect(one, bob) as socket:
        for number in range(20):
            send(processes[number % 2], alice, bob, str(number))
            item, = socket.envelopes(timeout=AT_ONCE_S)
            assert texts([item]) == [str(number)]
            socket.ack(up_to=item["seq"])


def test_many_letters_from_both_come_once_and_each_sender_s_in_order(processes):
    bob = Person(processes[0], "bob")
    senders = [Person(process, "alice") for process in processes for _ in range(3)]

    def send_many(sender):
        for number in range(40):
            post(sender, letter(sender, bob.address, f"{sender.address} {number}"))

    with connect(processes[1], bob) as socket, ThreadPoolExecutor(len(senders)) as threads:
        done = [threads.submit(send_many, sender) for sender in senders]
        got = []
        while len(got) < 40 * len(senders):
            item, = socket.envelopes(timeout=30)
            got += texts([item])
            socket.ack(up_to=item["seq"])
        assert [future.result() for future in done] == [None] * len(senders)
        assert socket.nothing()
    for sender in senders:
        own = [text for text in got if text.startswith(f"{sender.address} ")]
        assert own == [f"{sender.address} {number}" for number in range(40)]


def test_a_letter_from_another_node_is_at_once_at_the_socket(processes, remote):
    one, other = processes
    carol, bob = Person(remote, "carol"), Person(one, "bob")
    with connect(other, bob) as socket:  # DNS names the first process
        send(remote, carol, bob, "from afar")
        assert texts(socket.envelopes(timeout=10)) == ["from afar"]


def test_a_receipt_is_at_once_at_the_socket_of_the_sender(processes):
    one, other = processes
    alice, bob = Person(one, "alice"), Person(one, "bob")
    acquaint(alice, bob)
    with connect(one, alice) as socket:
        id = send(one, alice, bob, "hello")
        assert at(other, bob).take() == [id]
        receipt, = socket.receipts(timeout=AT_ONCE_S)
        assert (receipt["id"], receipt["from"]) == (id, bob.address)


def test_a_change_of_devices_is_told_at_once(processes):
    one, other = processes
    alice, bob = Person(one, "alice"), Person(one, "bob")
    acquaint(alice, bob)
    with connect(one, alice) as socket:
        bob_elsewhere = at(other, bob)
        Client(other).link(bob_elsewhere.client.link_token()["token"],
                           SealerDevice("tablet", one_time_prekeys=0).public)
        assert socket.wait_for("devices_changed", timeout=AT_ONCE_S)["address"] == bob.address


def test_an_ephemeral_message_is_told_unless_it_is_large(processes):
    one, other = processes
    alice, bob = Person(one, "alice"), Person(one, "bob")
    acquaint(alice, bob)
    with connect(one, bob) as socket:
        send(other, alice, bob, "x" * 20_000, ephemeral=True)
        send(other, alice, bob, "typing", ephemeral=True)
        item, = socket.envelopes(timeout=AT_ONCE_S)
        assert texts([item]) == ["typing"] and "seq" not in item


def test_running_out_of_prekeys_is_told(processes):
    one, other = processes
    alice, bob = Person(one, "alice"), Person(one, "bob", one_time_prekeys=20)
    acquaint(alice, bob)
    with connect(one, bob) as socket:
        at(other, alice).client.claim(bob.address)
        assert socket.wait_for("prekeys_low", lambda frame: frame["one_time_prekeys"] == 19,
                               timeout=AT_ONCE_S)


# Sockets

def test_a_socket_at_another_process_displaces_the_first(processes):
    one, other = processes
    alice, bob = Person(one, "alice"), Person(one, "bob")
    first = connect(one, bob)
    with connect(other, bob) as second:
        assert first.wait_closed(AT_ONCE_S) == 4409
        send(one, alice, bob, "hello")
        assert texts(second.envelopes(timeout=AT_ONCE_S)) == ["hello"]
        with connect(one, bob) as third:
            assert second.wait_closed(AT_ONCE_S) == 4409
            send(other, alice, bob, "again")
            assert texts(third.envelopes(2, timeout=AT_ONCE_S)) == ["hello", "again"]


def how_closed(socket, seconds):
    try:
        return socket.wait_closed(seconds)
    except TimeoutError:
        return None


def ends_of(sockets):
    """How they were closed, and None for one that has stayed."""
    ends, deadline = [None for _ in sockets], time.monotonic() + AT_ONCE_S
    while not any(ends) and time.monotonic() < deadline:
        ends = [how_closed(socket, 0.1) for socket in sockets]
    return [end or how_closed(socket, 1) for end, socket in zip(ends, sockets)]


def test_of_two_sockets_that_come_at_the_same_time_one_stays(processes):
    bob = Person(processes[0], "bob")
    people = [at(process, bob) for process in processes]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(10):
            sockets = list(threads.map(lambda person: person.client.socket(), people))
            assert sorted(ends_of(sockets), key=str) == [4409, None]
            for socket in sockets:
                socket.drop()


def test_acknowledging_at_another_process_makes_room_at_the_socket(processes):
    one, other = processes
    alice, bob = Person(one, "alice"), Person(other, "bob")
    for number in range(300):
        send(one, alice, bob, str(number))
    with at(other, bob).client.socket() as socket:
        items = socket.envelopes(256)
        at(one, bob).client.ack(up_to=items[-1]["seq"])
        rest = socket.envelopes(44, timeout=TAKEN_OVER_S)
        assert texts(items + rest) == [str(number) for number in range(300)]
        socket.ack(up_to=rest[-1]["seq"])


def test_a_session_that_ends_at_one_process_ends_its_socket_at_the_other(processes):
    one, other = processes
    bob, carol = Person(one, "bob"), Person(one, "carol")
    tablet = SealerDevice("tablet", one_time_prekeys=0)
    linked = Client(one)
    linked.link(carol.client.link_token()["token"], tablet.public)
    with connect(one, bob) as socket, linked.socket() as removed:
        removed.wait_for("queue_empty")
        at(other, bob).client.logout()
        assert socket.wait_closed(AT_ONCE_S) == 4401
        at(other, carol).client.remove_device(linked.device_id)
        assert removed.wait_closed(AT_ONCE_S) == 4410


# Outboxes

def holder_of(server, domain):
    return server.sql(f"SELECT holder FROM destination WHERE domain = '{domain}'", "a")


def test_letters_accepted_by_both_go_out_in_order_and_once(processes, server, remote):
    alice, carol = Person(processes[0], "alice"), Person(remote, "carol")
    for number in range(40):
        send(processes[number % 2], alice, carol, str(number))
    assert take_texts(carol, 40) == [str(number) for number in range(40)]
    assert holder_of(server, "b.test") != ""


def end_by_kill(process):
    process.kill()


def end_in_order(process):
    process.stop()


@pytest.mark.parametrize("end", [end_by_kill, end_in_order])
@pytest.mark.parametrize("which", [0, 1])
def test_another_process_goes_on_with_what_one_had(processes, server, remote, end, which):
    alice, carol = Person(processes[0], "alice"), Person(remote, "carol")
    ends, stays = at(processes[which], alice), at(processes[1 - which], alice)
    messages = [letter(alice, carol.address, str(number)) for number in range(5)]
    post(ends, messages[0])
    assert take_texts(carol, 1) == ["0"]
    remote.stop()
    post(ends, messages[1])
    post(stays, messages[2])
    end(processes[which])
    post(stays, messages[3])
    remote.start()
    assert take_texts(carol, 4) == ["0", "1", "2", "3"]
    post(stays, messages[4])
    assert take_texts(carol, 5, AT_ONCE_S) == ["0", "1", "2", "3", "4"]


def test_a_call_to_either_process_wakes_what_waits_at_the_other(lab, server, remote):
    pair = two_processes(lab, server, "patient.test", **{
        **OPTIONS, "federation__backoff_first": "1h", "federation__backoff_max": "1h"})
    alice, carol = Person(pair[0], "alice"), Person(remote, "carol")
    send(pair[1], alice, carol, "0")  # so it is the one that sends there
    assert take_texts(carol, 1) == ["0"]
    late = letter(alice, carol.address, "1")
    remote.stop()
    post(at(pair[1], alice), late)
    wait_until(lambda: "domain=b.test from=up to=backoff" in pair[1].log_text(), "a failure")
    remote.start()
    post(carol, letter(carol, alice.address, "I am back"))
    assert take_texts(carol, 2, AT_ONCE_S + DEAD_S) == ["0", "1"]
    assert "domain=b.test from=up" not in pair[0].log_text()
    for process in pair:
        process.stop()


def test_what_a_killed_process_left_is_cleared_away(processes, server):
    one, other = processes
    bob = Person(one, "bob")
    socket = connect(one, bob)
    left = server.sql("SELECT process_key FROM session", "a")
    one.kill()
    wait_until(lambda: left not in server.sql("SELECT process_key FROM process", "a"),
               "the burial", TAKEN_OVER_S)
    assert server.sql(f"SELECT count(*) FROM session WHERE process_key = {left}", "a") == "0"
    assert server.sql(f"SELECT count(*) FROM destination WHERE holder = {left}", "a") == "0"
    assert other.running()
    socket.drop()


# The database goes away

def test_after_a_restart_of_the_database_both_hear_of_each_other_again(processes, server):
    one, other = processes
    alice, bob, carol = Person(one, "alice"), Person(one, "bob"), Person(one, "carol")
    pids = [process.pid for process in processes]
    with connect(one, bob) as at_one, connect(other, carol) as at_other:
        for _ in range(3):
            server.stop()
            server.start()
            for process in processes:
                process.wait_ready()
        # A node is ready by its last look at the database, which may have been before that.
        post_at_last(at(other, alice), letter_of(alice, bob))
        post_at_last(at(one, alice), letter_of(alice, carol))
        assert texts(at_one.envelopes(timeout=10)) == ["hello"]
        assert texts(at_other.envelopes(timeout=10)) == ["hello"]
    assert [process.pid for process in processes] == pids


def lose_news(server):
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE query LIKE '%pg_locks%' AND pid <> pg_backend_pid()")


def test_what_was_told_while_nobody_heard_is_found(processes, server):
    """Only the connections that hear are lost, again and again."""
    one, other = processes
    alice, bob = Person(one, "alice"), Person(one, "bob")
    enough = threading.Event()

    def disturb():
        while not enough.wait(0.3):
            lose_news(server)

    disturber = threading.Thread(target=disturb)
    with connect(one, bob) as socket:
        disturber.start()
        try:
            for number in range(30):
                send(other, alice, bob, str(number))
                time.sleep(0.05)
        finally:
            enough.set()
            disturber.join()
        got = texts(socket.envelopes(30, timeout=15))
    assert got == [str(number) for number in range(30)]


# What holds for both together

def test_a_new_domain_that_both_meet_at_once_has_one_pin(lab, processes, server):
    node = lab.add_node("new.test", **{**OPTIONS, "store__url": ""})
    node.start()
    lab.names.apply()
    alice, dora = Person(processes[0], "alice"), Person(node, "dora")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(
            lambda i: at(processes[i % 2], alice).client.device_list(dora.address), range(8)))
    assert all(listed["devices"] for listed in found)
    assert server.sql("SELECT count(*) FROM peer WHERE domain = 'new.test'", "a") == "1"
    for number in range(2):
        send(processes[number], alice, dora, str(number))
    assert take_texts(dora, 2) == ["0", "1"]


def test_limits_of_logins_hold_for_both_together(lab, server):
    pair = two_processes(lab, server, "strict.test", **{**OPTIONS, "limits__rate_scale": 1})
    for process in pair:
        wait_until(lambda: "event=process what=count processes=2" in process.log_text(),
                   "each to know of the other")
    name = user("bob")
    Client(pair[0]).register(name, SealerDevice("phone", one_time_prekeys=0).public,
                             password="correct horse battery")
    statuses = []
    for process in pair:
        for _ in range(10):
            with pytest.raises(ApiError) as refused:
                Client(process).login(name, 1, "wrong")
            statuses.append(refused.value.status)
    assert statuses.count(401) == 10 and statuses.count(429) == 10


# All of it

def behind_a_balancer(processes):
    """What clients see."""
    balancer = Balancer([process.port for process in processes])
    balancer.start()
    node = copy(processes[0])
    node.port = balancer.port
    return node


class LoadBothWays(Load):
    """Within a node and between two."""
    refusals_expected = {502, 503, 504}

    def __init__(self, server, node, remote):
        self._outboxes = lambda: remote.count("outbox") + \
            int(server.sql("SELECT count(*) FROM outbox", "a"))
        super().__init__(node, remote)

    def _verify(self):
        wait_until(lambda: self._outboxes() == 0, "empty outboxes", 60)
        super()._verify()


def test_nothing_is_lost_or_doubled_while_processes_are_killed(lab, processes, server, remote):
    node = behind_a_balancer(processes)
    lab.names.services["a.test"] = [(0, 0, node.port, "a.test")]
    lab.names.apply()
    with LoadBothWays(server, node, remote):
        for process in [*processes, processes[0]]:
            time.sleep(3)
            process.kill()
            time.sleep(DEAD_S)
            process.start()
        time.sleep(2)
    lab.names.services["a.test"] = [(0, 0, processes[0].port, "a.test")]
    lab.names.apply()
