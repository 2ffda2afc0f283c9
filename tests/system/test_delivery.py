# SPDX-License-Identifier: MIT
"""What is accepted arrives: in order and once, whatever goes down meanwhile; and what a
device's socket says and when it closes. Letters are open here: only their way matters."""

import http.client
import os
import resource
import signal as signals
import socket
import sqlite3
import threading
import time
from base64 import b64decode

import pytest
import websocket

from accounts import Phone
from client import ApiError, SocketClosed, make_message
from lab import wait_until
from scenario import acquaint, join, letter, letters, link, post, user

LOST = (OSError, http.client.HTTPException, websocket.WebSocketException, SocketClosed)


@pytest.fixture(params=["local", "remote"])
def bob(pair, signal, request):
    """On alice's node, or on the other."""
    return join(signal, pair[request.param == "remote"], "bob")


@pytest.fixture
def far_bob(pair, signal):
    return join(signal, pair[1], "bob")


def text(item):
    return b64decode(item["content"]).decode()


def waiting(phone, kind="envelope"):
    return [item for item in phone.client.mailbox()["items"] if item["kind"] == kind]


def wait_for(phone, count=1, kind="envelope", seconds=10):
    def arrived():
        found = waiting(phone, kind)
        return found if len(found) >= count else None

    found = wait_until(arrived, f"{count} {kind} for {phone.address}", seconds)
    assert len(found) == count
    return found


def take(phone, count=1, kind="envelope"):
    items = wait_for(phone, count, kind)
    assert phone.client.ack(seqs=[item["seq"] for item in items]) == {"removed": count}
    return items


def many(sender, to, count, padding=""):
    """Letters numbered from 0, in batches over the sender's socket."""
    devices = sender.client.device_list(to)["devices"]
    messages = [make_message(to, letters(devices, f"{n}{padding}")) for n in range(count)]
    with sender.client.socket() as ws:
        for first in range(0, count, 32):
            results = ws.send(messages[first:first + 32])
            assert all("code" not in result for result in results), results


class Talk:
    """One sends numbered letters, each until it is accepted, and the other takes them from
    its socket and acknowledges, however often their nodes are gone."""

    def __init__(self, sender, receiver, count):
        self.sender, self.receiver, self.count = sender, receiver, count
        self.devices = sender.client.device_list(receiver.address)["devices"]
        self.accepted = []  # ids
        self.taken = {}     # seq -> letter
        self._over = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True)
                         for run in (self._send, self._take)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def reaches(self, part, seconds=30):
        wait_until(lambda: len(self.taken) >= self.count * part,
                   f"{part} of {self.count} letters", seconds)

    def _send(self):
        for number in range(self.count):
            message = make_message(self.receiver.address, letters(self.devices, str(number)))
            while not self._over.is_set() and not self._accepted(message):
                time.sleep(0.02)

    def _accepted(self, message):
        try:
            post(self.sender, message)
        except LOST:
            return False
        except ApiError as refused:
            assert refused.status == 503, refused
            return False
        self.accepted.append(message["id"])
        return True

    def _take(self):
        while not self._over.is_set():
            try:
                with self.receiver.client.socket() as ws:
                    self._take_from(ws)
            except LOST:
                time.sleep(0.02)

    def _take_from(self, ws):
        while not self._over.is_set():
            try:
                items = ws.wait_for("envelope", timeout=0.2)["envelopes"]
            except TimeoutError:
                continue
            for item in items:
                assert self.taken.setdefault(item["seq"], item) == item
            ws.ack(up_to=items[-1]["seq"])


# What goes down

@pytest.mark.parametrize("signal_name", ["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("whose", ["sender", "receiver", "both"])
def test_restart_in_the_middle_loses_nothing_and_doubles_nothing(
        pair, signal, alice, whose, signal_name):
    """`both` are on one node. Receipts come once each as well."""
    a, b = pair
    bob = join(signal, a if whose == "both" else b, "bob")
    acquaint(alice, bob)
    node = b if whose == "receiver" else a
    with Talk(alice, bob, 200) as talk:
        for part in 0.2, 0.6:
            talk.reaches(part)
            node.stop() if signal_name == "SIGTERM" else node.kill()
            node.start()
        talk.reaches(1)
        wait_until(lambda: not waiting(bob), "everything to be acknowledged")
    letters_taken = [talk.taken[seq] for seq in sorted(talk.taken)]
    assert [text(item) for item in letters_taken] == [str(n) for n in range(200)]
    assert [item["id"] for item in letters_taken] == talk.accepted

    receipts = []
    while len(receipts) < 200:
        wait_until(lambda: waiting(alice, "receipt"), "a receipt")
        page = waiting(alice, "receipt")
        receipts += page
        alice.client.ack(up_to=page[-1]["seq"])
    assert sorted(receipt["id"] for receipt in receipts) == sorted(talk.accepted)
    assert all(receipt["devices"] == [1] for receipt in receipts)


@pytest.mark.parametrize("end", ["stop", "kill", "pause"])
def test_remote_node_down_for_a_while_gets_everything_when_it_is_back(pair, alice, far_bob, end):
    b = pair[1]
    devices = alice.client.device_list(far_bob.address)["devices"]
    getattr(b, end)()
    for number in range(5):
        message = make_message(far_bob.address, letters(devices, str(number)))
        assert post(alice, message)["status"] == "queued"
    assert alice.client.message(message["id"])["status"] == "queued"
    b.resume() if end == "pause" else b.start()
    assert [text(item) for item in wait_for(far_bob, 5, seconds=20)] == list("01234")
    wait_until(lambda: alice.client.message(message["id"])["status"] == "delivered",
               "the status to follow")


def test_name_server_down_for_a_while(pair, alice, far_bob):
    """alice's node has just started and knows no address of the other."""
    a, names = pair[0], pair[0].lab.names
    message = letter(alice, far_bob.address, "hello")
    names.stop()
    a.restart()
    assert post(alice, message)["status"] == "queued"
    wait_until(lambda: a.metric("restante_transactions_failed_total") > 0, "a failure")
    assert waiting(far_bob) == []
    names.apply()
    assert [text(item) for item in wait_for(far_bob, seconds=20)] == ["hello"]


@pytest.mark.embedded
def test_disk_without_room_refuses_what_it_cannot_keep_and_goes_on_later(pair, alice, bob):
    """A limit on the size of files is as good as a full disk. The log has no room either."""
    a = pair[0]
    message = letter(alice, bob.address, "hello")
    limits = resource.prlimit(a.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(a.pid, resource.RLIMIT_FSIZE, (1, limits[1]))
    os.kill(a.pid, signals.SIGHUP)  # which is logged
    with pytest.raises(ApiError) as refused:
        post(alice, message)
    assert (refused.value.status, refused.value.code) == (503, "STORE_UNAVAILABLE")
    resource.prlimit(a.pid, resource.RLIMIT_FSIZE, limits)
    assert post(alice, message)["status"] in ("stored", "queued")
    assert [text(item) for item in wait_for(bob)] == ["hello"]


# What waits

def test_offline_recipient_gets_everything_later(alice, bob):
    many(alice, bob.address, 150)
    wait_until(lambda: bob.client.mailbox()["more"], "more than a page")
    page = bob.client.mailbox()
    assert (len(page["items"]), page["more"]) == (100, True)
    last = page["items"][-1]["seq"]
    wait_until(lambda: len(bob.client.mailbox(after=last)["items"]) == 50, "all of them")
    rest = bob.client.mailbox(after=last)
    assert not rest["more"]
    with bob.client.socket() as ws:
        pushed = ws.envelopes(150)
        ws.wait_for("queue_empty")
    assert [text(item) for item in pushed] == [str(n) for n in range(150)]
    assert [item["seq"] for item in pushed] == \
        [item["seq"] for item in page["items"] + rest["items"]]
    # Read twice, and still there: only an acknowledgement removes.
    assert bob.client.ack(up_to=pushed[-1]["seq"]) == {"removed": 150}
    assert bob.client.mailbox() == {"items": [], "more": False}


def test_same_message_id_twice_delivers_once(alice, bob):
    message = letter(alice, bob.address, "once")
    answers = [post(alice, message)]
    wait_for(bob)
    answers += [post(alice, message)]
    with alice.client.socket() as ws:
        answers += ws.send([message, message])
    assert all(answer == answers[0] for answer in answers)
    post(alice, letter(alice, bob.address, "end"))
    assert [text(item) for item in wait_for(bob, 2)] == ["once", "end"]


def test_same_message_id_at_the_same_time_delivers_once(alice, bob):
    message = letter(alice, bob.address, "once")
    with alice.client.socket() as ws:
        ws.write({"type": "send", "messages": [message] * 32})
        ws.write({"type": "send", "messages": [message] * 32})
        answers = [ws.wait_for("send_result")["results"] for _ in range(2)]
    assert all(answer == answers[0][0] for answer in answers[0] + answers[1])
    post(alice, letter(alice, bob.address, "end"))
    assert [text(item) for item in wait_for(bob, 2)] == ["once", "end"]


def test_message_expires(alice, bob):
    soon_gone = letter(alice, bob.address, "soon gone", expires_in=5)
    post(alice, letter(alice, bob.address, "stays"))
    wait_for(bob, 1)
    post(alice, soon_gone)
    wait_for(bob, 2)
    wait_until(lambda: len(waiting(bob)) == 1, "the first to expire")
    with bob.client.socket() as ws:
        ws.wait_for("queue_empty")
        assert [text(item) for item in ws.envelopes(1)] == ["stays"]
        assert ws.nothing()


def test_ephemeral_reaches_sockets_and_is_kept_nowhere(alice, bob):
    bob.client.accept(alice.address)
    with bob.client.socket() as ws:
        ws.wait_for("queue_empty")
        answer = post(alice, letter(alice, bob.address, "typing", ephemeral=True))
        assert (alice.client.status, answer["status"]) == (200, "relayed")
        item, = ws.envelopes()
        assert text(item) == "typing" and item["ephemeral"] and "seq" not in item
    wait_until(lambda: bob.client.node.metric("restante_sockets_open") == 0, "bob to be gone")
    post(alice, letter(alice, bob.address, "typing", ephemeral=True))
    post(alice, letter(alice, bob.address, "said"))
    with bob.client.socket() as ws:
        assert [text(item) for item in ws.envelopes(1)] == ["said"]
        assert ws.nothing()


def test_receipts_wait_for_the_device_that_sent(alice, bob, signal):
    """alice is offline when bob's devices acknowledge; her other device hears nothing."""
    acquaint(alice, bob)
    tablet, other = link(signal, bob), link(signal, alice)
    sent = post(alice, letter(alice, bob.address, "hello"))
    for phone in bob, tablet:
        take(phone)
    receipts = wait_for(alice, 2, "receipt")
    assert {receipt["id"] for receipt in receipts} == {sent["id"]}
    assert {receipt["from"] for receipt in receipts} == {bob.address}
    assert sorted(device for r in receipts for device in r["devices"]) == [1, 2]
    for _ in range(2):  # kept until they are taken
        with alice.client.socket() as ws:
            assert [r["seq"] for r in ws.receipts(2)] == [r["seq"] for r in receipts]
    assert sorted(alice.client.message(sent["id"])["taken_by"]) == [1, 2]
    take(alice, 2, "receipt")
    assert other.client.mailbox()["items"] == []


def test_receipts_come_only_from_who_accepted_and_has_them_on(pair, alice, bob, signal):
    """carol's receipt, after which nothing can follow, shows that the wait is over."""
    carol = join(signal, bob.client.node, "carol")
    acquaint(alice, carol)
    for accepts, wants in (False, True), (True, False):
        if accepts:
            bob.client.accept(alice.address)
        assert bob.client.change_account(receipts=wants)["receipts"] is wants
        post(alice, letter(alice, bob.address, "to bob"))
        take(bob)
        sent = post(alice, letter(alice, carol.address, "to carol"))
        take(carol)
        receipt, = take(alice, 1, "receipt")
        assert (receipt["id"], receipt["from"]) == (sent["id"], carol.address)


def test_node_that_sends_no_receipts_to_others(pair, alice, far_bob):
    b = pair[1]
    acquaint(alice, far_bob)
    b.set({"federation.receipts": "false"})
    b.restart()
    try:
        sent = post(alice, letter(alice, far_bob.address, "hello"))
        take(far_bob)
        # What comes after a receipt would have come.
        post(far_bob, letter(far_bob, alice.address, "got it"))
        assert text(*wait_for(alice)) == "got it"
        assert waiting(alice, "receipt") == []
        assert alice.client.message(sent["id"])["taken_by"] == []
    finally:
        b.set({"federation.receipts": "true"})
        b.restart()


def test_send_result_waits_until_it_is_acknowledged(alice):
    message = make_message("nobody@b.test",
                           letters([{"device_id": 1, "registration_id": 1}], "hello?"))
    assert post(alice, message)["status"] == "queued"
    item, = wait_for(alice, 1, "send_result")
    assert (item["id"], item["to"], item["code"]) == (message["id"], "nobody@b.test",
                                                      "unavailable")
    for _ in range(2):
        with alice.client.socket() as ws:
            result, = ws.results(1)
            assert {"kind": "send_result", **result} == item
    alice.client.node.restart()
    take(alice, 1, "send_result")
    assert (alice.client.message(message["id"])["status"],
            alice.client.message(message["id"])["code"]) == ("failed", "unavailable")


# The socket

def test_queue_empty_comes_once_after_what_waited(alice, bob):
    many(alice, bob.address, 3)
    wait_for(bob, 3)
    with bob.client.socket() as ws:
        frames = [ws.read() for _ in range(4)]
        assert [frame["type"] for frame in frames if frame["type"] != "prekeys_low"] == \
            ["auth", "envelope", "queue_empty"]
        ws.ack(up_to=frames[2]["envelopes"][-1]["seq"])
        post(alice, letter(alice, bob.address, "more"))
        ws.envelopes()
        assert ws.nothing(kinds=("queue_empty",))


def test_no_more_than_256_items_are_unacknowledged(pair, alice, signal):
    bob = join(signal, pair[0], "bob")
    many(alice, bob.address, 300)
    with bob.client.socket() as ws:
        items = ws.envelopes(256)
        assert ws.nothing(kinds=("envelope", "queue_empty"))
        ws.ack(up_to=items[-1]["seq"])
        items += ws.envelopes(44)
        ws.wait_for("queue_empty")
        ws.ack(seqs=[item["seq"] for item in items[256:]])
        # The same for what is pushed as it comes.
        many(alice, bob.address, 300)
        more = ws.envelopes(256)
        assert ws.nothing()
        # An acknowledgement by HTTP counts too.
        bob.client.ack(up_to=more[-1]["seq"])
        more += ws.envelopes(44)
        for run in items, more:
            assert [text(item) for item in run] == [str(n) for n in range(300)]


def test_slow_reader_gets_everything_in_order(alice, bob):
    """More than the node is willing to hold for a socket."""
    with bob.client.socket() as ws:
        ws.wait_for("queue_empty")
        many(alice, bob.address, 100, padding=60000 * " ")
        items = []
        while len(items) < 100:
            items += ws.envelopes()
            ws.ack(up_to=items[-1]["seq"])
        assert ws.nothing()
    assert [int(text(item)) for item in items] == list(range(100))


def test_second_socket_displaces_the_first(alice, bob):
    post(alice, letter(alice, bob.address, "one"))
    wait_for(bob)
    with bob.client.socket() as first:
        item, = first.envelopes()
        with bob.client.socket() as second:
            assert first.wait_closed() == 4409
            assert second.envelopes() == [item]  # not acknowledged: again
            second.ack(up_to=item["seq"])
            post(alice, letter(alice, bob.address, "two"))
            assert [text(item) for item in second.envelopes()] == ["two"]


def test_frames_that_follow_at_once_wait_for_the_token_to_be_checked(alice, far_bob):
    messages = [letter(alice, far_bob.address, str(n)) for n in range(10)]
    for number, message in enumerate(messages):
        with alice.client.socket(token_in_header=number % 2 == 0) as ws:
            if number % 2 == 1:
                ws.write({"type": "auth", "token": alice.client.access_token})
            assert ws.send([message])[0]["status"] == "queued"
    assert [text(item) for item in wait_for(far_bob, 10)] == [str(n) for n in range(10)]


def test_socket_closes_when_its_token_expires_unless_renewed(lab, signal):
    node = lab.add_node("a.test", accounts__access_token_life="10s")
    lab.start()
    keeper, leaver = (Phone(signal, node).register(user(name)) for name in ("keeper", "leaver"))
    begun = time.monotonic()
    with keeper.client.socket() as kept, leaver.client.socket() as left:
        kept.wait_for("auth")
        keeper.client.refresh()
        wait_until(lambda: time.monotonic() > begun + 5, "half of their time")
        keeper.client.refresh()
        assert 0 < kept.auth(keeper.client.access_token)["expires_in"] <= 10
        assert left.wait_closed(20) == 4401
        kept.ping()
        with pytest.raises(ApiError) as refused:
            leaver.client.account()
        assert (refused.value.status, refused.value.code) == (401, "TOKEN_EXPIRED")
        assert kept.wait_closed(20) == 4401
    with pytest.raises(ApiError) as refused:
        leaver.client.socket()
    assert refused.value.status == 401
    leaver.client.refresh()
    with leaver.client.socket() as ws:
        ws.wait_for("queue_empty")


def test_socket_wants_a_token_of_its_own_device(alice, far_bob):
    with alice.client.socket(token_in_header=False) as ws:
        ws.write({"type": "ping"})
        assert ws.wait_closed() == 4401
    with alice.client.socket(token_in_header=False) as ws:
        ws.write({"type": "auth", "token": "nonsense"})
        assert ws.wait_closed() == 4401
    with alice.client.socket() as ws:
        ws.wait_for("queue_empty")
        ws.write("{")
        assert ws.wait_for("error")["code"] == "VALIDATION_ERROR"
        assert ws.wait_closed() == 4400


def test_error_frames_name_the_field_like_the_error_object(alice):
    with alice.client.socket() as ws:
        ws.wait_for("queue_empty")
        ws.write({"type": "auth", "token": 1})
        error = ws.wait_for("error")
        assert error["code"] == "VALIDATION_ERROR"
        assert error["message"] and error["details"] == {"field": "token"}
        assert ws.wait_closed() == 4400


def test_frames_are_small_until_the_token_is_known(alice):
    large = {"type": "ping", "padding": "x" * 8192}
    with alice.client.socket(token_in_header=False) as ws:
        ws.write(large)
        assert ws.wait_closed() == 1009
    for token_in_header in True, False:
        with alice.client.socket(token_in_header) as ws:
            if not token_in_header:
                ws.write({"type": "auth", "token": alice.client.access_token})
            ws.write(large)
            ws.wait_for("pong")


class Flood(threading.Thread):
    """Sends large frames over a socket with a small send buffer, and counts them."""

    def __init__(self, ws, frames):
        super().__init__(daemon=True)
        ws._ws.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        self._ws, self._frames, self.sent = ws, frames, 0

    def run(self):
        for frame in self._frames:
            self._ws.write(frame)
            self.sent += 1


@pytest.mark.embedded
def test_large_frames_wait_while_the_store_is_busy(alice, pair, signal):
    """With 8 MiB of them under way the node stops reading, whatever their number."""
    bob = join(signal, pair[0], "bob")
    devices = bob.client.device_list(bob.address)["devices"]
    frames = [{"type": "send", "messages": [
        make_message(bob.address, letters(devices, "x" * 95_000)) for _ in range(8)]}
        for _ in range(30)]
    with alice.client.socket() as ws, \
            sqlite3.connect(pair[0].folder / "data/restante.db", isolation_level=None) as lock:
        ws.wait_for("queue_empty")
        flood = Flood(ws, frames)
        lock.execute("BEGIN IMMEDIATE")
        flood.start()
        flood.join(2)
        assert flood.sent < len(frames)  # 8 are under way, some more in the kernel
        lock.execute("ROLLBACK")
        flood.join(30)  # before anything is read: a TLS connection is for one thread at a time
        assert flood.sent == len(frames)
        for _ in frames:
            results = ws.wait_for("send_result")["results"]
            assert all("code" not in result for result in results), results


@pytest.mark.embedded
def test_frames_are_answered_in_order_also_those_that_are_refused(alice, pair, signal):
    bob = join(signal, pair[0], "bob")
    good = make_message(bob.address, letters(bob.client.device_list(bob.address)["devices"], "x"))
    bad = make_message(bob.address, [])
    with alice.client.socket() as ws, \
            sqlite3.connect(pair[0].folder / "data/restante.db", isolation_level=None) as lock:
        ws.wait_for("queue_empty")
        lock.execute("BEGIN IMMEDIATE")
        for message in good, bad:
            ws.write({"type": "send", "messages": [message]})
        ws.write({"type": "ping"})
        ws.wait_for("pong")
        lock.execute("ROLLBACK")
        answers = [ws.wait_for("send_result")["results"][0]["id"] for _ in range(2)]
        assert answers == [good["id"], bad["id"]]


def test_token_of_another_device_closes_the_socket(alice, signal):
    tablet = link(signal, alice)
    with alice.client.socket() as ws:
        ws.wait_for("queue_empty")
        ws.write({"type": "auth", "token": tablet.client.access_token})
        assert ws.wait_closed() == 4401


def test_socket_says_when_prekeys_are_low(pair, alice, signal):
    bob = Phone(signal, pair[1], one_time_prekeys=20, pq_prekeys=20).register(user("bob"))
    bob.client.accept(alice.address)
    with bob.client.socket() as ws:
        ws.wait_for("queue_empty")
        alice.client.claim(bob.address)
        assert ws.wait_for("prekeys_low") == \
            {"type": "prekeys_low", "one_time_prekeys": 19, "pq_prekeys": 19}
        bob.client.upload_keys(**bob.signal.more_prekeys(5, 5))
        alice.client.claim(bob.address)
        assert ws.nothing(kinds=("prekeys_low",))
    for _ in range(4):
        alice.client.claim(bob.address)
    with bob.client.socket() as ws:
        assert ws.wait_for("prekeys_low")["one_time_prekeys"] == 19


def test_devices_changed_reaches_who_knows_the_account(alice, bob, signal):
    """The own devices, and those of an accepted address; nobody else."""
    acquaint(alice, bob)
    stranger = join(signal, alice.client.node, "stranger")
    for phone in alice, stranger:
        phone.client.device_list(bob.address)
    with alice.client.socket() as ws, bob.client.socket() as own, stranger.client.socket() as out:
        for each in ws, own, out:
            each.wait_for("queue_empty")
        tablet = link(signal, bob)
        hint = {"type": "devices_changed", "address": bob.address,
                "list_version": bob.client.account()["list_version"]}
        assert own.wait_for("devices_changed") == hint
        assert ws.wait_for("devices_changed") == hint
        assert alice.client.device_list(bob.address)["list_version"] == hint["list_version"]
        bob.client.remove_device(tablet.device_id)
        assert ws.wait_for("devices_changed")["list_version"] > hint["list_version"]
        assert out.nothing(kinds=("devices_changed",))
