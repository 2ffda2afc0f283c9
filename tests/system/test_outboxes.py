# SPDX-License-Identifier: MIT
"""Many destinations, some of which hang: the others are served, the node stops when it is told
to, and one that is down costs little."""

import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from client import make_message
from lab import ADDRESS, wait_until
from scenario import OPTIONS, letters

sys.path.append(str(Path(__file__).resolve().parents[1] / "peer"))

from lab_peer import LabPeer, NodePhone, PeerPhone  # noqa: E402
from wire import Reply  # noqa: E402

HANGING = 300  # more than may be tried at once without proof
GOOD = 20


class Hole:
    """Accepts connections and never says a word."""

    def __init__(self):
        self.connections = []
        self._listener = socket.create_server((ADDRESS, 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                self.connections.append(self._listener.accept()[0])
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        # Wakes the thread, which close() alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        for one in [self._listener, *self.connections]:
            one.close()


@pytest.fixture
def hole():
    with Hole() as hole:
        yield hole


def hanging_domains(hole, count):
    """For federation.hosts."""
    return ",".join(f"hang{n}.test={ADDRESS}:{hole.port}" for n in range(count))


def queue_for_nobody(alice, domain):
    device = {"device_id": 1, "registration_id": 1}
    message = make_message(f"nobody@{domain}", letters([device], "hello?"))
    assert alice.client.call("POST", "messages/send", message)["status"] == "queued"
    return message["id"]


def stop_takes(node):
    begun = time.monotonic()
    node.stop()
    return time.monotonic() - begun


def test_destinations_that_hang_do_not_delay_the_others(lab, hole):
    node = lab.add_node("a.test", **OPTIONS, federation__hosts=hanging_domains(hole, HANGING))
    peers = [LabPeer(lab, f"good{n}.test") for n in range(GOOD)]
    lab.start()
    alice = NodePhone(node, "alice")
    phones = [PeerPhone(peer, "pat") for peer in peers]
    for phone in phones:
        alice.client.device_list(phone.address)  # so that messages are for its devices

    def letters_come(number, seconds):
        wait_until(lambda: all(len(phone.mailbox) == number for phone in phones),
                   "a letter for each", seconds)

    for n in range(HANGING):
        queue_for_nobody(alice, f"hang{n}.test")
    wait_until(lambda: len(hole.connections) >= 200, "many to hang")
    for phone in phones:
        alice.send(phone.address, b"one")
    letters_come(1, 8)

    # Nor when all begin at the same time, from the database.
    for peer in peers:
        peer.interfere(lambda request, honest: Reply(502, {}, b"gone"))
    for phone in phones:
        alice.send(phone.address, b"two")
    assert stop_takes(node) < 7
    for peer in peers:
        peer.behave()
    hole.connections.clear()
    node.start()
    letters_come(2, 15)
    for peer in peers:
        peer.stop()


def test_what_hangs_when_the_node_stops_is_repeated_and_taken_once(lab):
    node = lab.add_node("a.test", **OPTIONS)
    with LabPeer(lab, "peer.test") as peer:
        lab.start()
        alice, pat = NodePhone(node, "alice"), PeerPhone(peer, "pat")
        over = threading.Event()

        def take_and_hang(request, honest):
            reply = honest()
            over.wait(60)
            return reply

        seen = peer.interfere(take_and_hang)
        message = alice.send(pat.address, b"once")
        wait_until(lambda: pat.mailbox, "the peer to take it")
        assert stop_takes(node) < 6
        over.set()
        again = peer.interfere(lambda request, honest: honest())
        node.start()
        wait_until(lambda: alice.client.message(message)["status"] == "delivered", "its end")
        assert [request.body for request in again] == [seen[0].body]
        assert pat.texts() == [b"once"]


def test_destination_that_is_down_costs_one_row_and_one_probe_at_a_time(lab):
    node = lab.add_node("a.test", **{**OPTIONS, "federation__backoff_first": "200ms",
                                     "federation__backoff_max": "1s"})
    with LabPeer(lab, "peer.test") as peer:
        lab.start()
        alice, pat = NodePhone(node, "alice"), PeerPhone(peer, "pat")
        bundles = alice.client.claim(pat.address)
        probes = peer.interfere(lambda request, honest: Reply(502, {}, b"gone"))
        begun, sent = time.monotonic(), 0
        while time.monotonic() - begun < 6 or len(probes) < 6 or sent <= 20:
            alice.send(pat.address, b"hello", bundles)
            sent += 1
            time.sleep(0.1)
            assert time.monotonic() - begun < 20
        # At once, after 0.2, 0.4 and 0.8 s, then each second, or a fifth sooner or later.
        assert len(probes) <= 5 + (time.monotonic() - begun) / 0.8
        waiting = node.metric("restante_outbox_items")
        node.stop()
        assert node.count("destination") == 1
        assert node.count("outbox") == waiting > 20
        peer.behave()
        node.start()
        wait_until(lambda: len(pat.mailbox) == waiting, "all of them")
        wait_until(lambda: node.metric("restante_outbox_items") == 0, "the outbox to be empty")
        node.restart()
        wait_until(lambda: node.count("destination") == 0, "the row to go")
