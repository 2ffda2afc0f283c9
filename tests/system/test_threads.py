# SPDX-License-Identifier: MIT
"""A node with several net threads. New connections go to the thread with the fewest, so sockets
that are opened one after the other are held by different threads."""

import itertools
import os
import signal as signals
import socket
import ssl
import threading
import time
from base64 import b64decode
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from client import SocketClosed, make_message
from lab import ADDRESS, Lab, wait_until
from scenario import OPTIONS, join, letter, letters, post

THREADS = 3
PHONES = 2 * THREADS
LETTERS = 40  # from each to each other


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Lab(folder=tmp_path_factory.mktemp("lab"), keep=True) as lab:
        node = lab.add_node("a.test", **{**OPTIONS, "listen__threads": THREADS})
        lab.start()
        yield node


@pytest.fixture(scope="module")
def phones(node, signal):
    return [join(signal, node, f"phone{n}-") for n in range(PHONES)]


def text(item):
    return b64decode(item["content"]).decode()


def wait_acked(phone):
    wait_until(lambda: all(item["kind"] != "envelope" for item in phone.client.mailbox()["items"]),
               "the acknowledgement")


def net_threads(node):
    """What each has run so far, in ns."""
    spent = {}
    for task in Path(f"/proc/{node.pid}/task").iterdir():
        name = "net" if int(task.name) == node.pid else (task / "comm").read_text().strip()
        if name.startswith("net"):
            spent[name] = int((task / "schedstat").read_text().split()[0])
    return spent


def messages_for_all(sender, phones):
    """In turn for each of the others, numbered."""
    for number in range(LETTERS):
        for phone in phones:
            if phone is not sender:
                devices = [{"device_id": phone.device_id,
                            "registration_id": phone.signal.public["registration_id"]}]
                yield make_message(phone.address, letters(devices, f"{number}"))


def send_all(sender, ws, phones):
    messages = list(messages_for_all(sender, phones))
    for first in range(0, len(messages), 8):
        results = ws.send(messages[first:first + 8])
        assert all("code" not in result for result in results), results


def test_all_threads_serve_and_everything_arrives_in_order(node, phones):
    for phone in phones:
        phone.client.close()
    before = net_threads(node)
    assert len(before) == THREADS
    with ExitStack() as stack:
        sockets = [stack.enter_context(phone.client.socket()) for phone in phones]
        senders = [threading.Thread(target=send_all, args=(phone, ws, phones))
                   for phone, ws in zip(phones, sockets)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        for phone, ws in zip(phones, sockets):
            items = ws.envelopes((PHONES - 1) * LETTERS)
            assert [item["seq"] for item in items] == sorted(item["seq"] for item in items)
            for other in phones:
                if other is not phone:
                    assert [text(item) for item in items if item["from"] == other.address] \
                        == [str(n) for n in range(LETTERS)]
            ws.ack(up_to=items[-1]["seq"])
            wait_acked(phone)
    after = net_threads(node)
    assert all(after[name] > before[name] for name in before)


def test_the_last_socket_of_a_device_displaces_the_others_wherever_they_are(node, phones):
    alice, bob = phones[:2]
    with ExitStack() as stack:
        sockets = [stack.enter_context(bob.client.socket())]
        for _ in range(2 * THREADS):
            sockets.append(stack.enter_context(bob.client.socket()))
            assert sockets[-2].wait_closed() == 4409
        sockets[-1].wait_for("queue_empty")
        post(alice, letter(alice, bob.address, "to the last"))
        item, = sockets[-1].envelopes()
        assert text(item) == "to the last"
        sockets[-1].ack(up_to=item["seq"])
        wait_acked(bob)


def test_of_sockets_that_come_at_once_one_is_left(node, phones):
    alice, bob = phones[:2]
    for _ in range(5):
        sockets = []
        openers = [threading.Thread(target=lambda: sockets.append(bob.client.socket()))
                   for _ in range(PHONES)]
        for opener in openers:
            opener.start()
        for opener in openers:
            opener.join()
        assert len(sockets) == PHONES
        wait_until(lambda: node.metric("restante_sockets_open") == 1, "all but one to be gone")
        post(alice, letter(alice, bob.address, "to one"))
        got = [what_it_got(ws) for ws in sockets]
        assert sorted(got, key=str) == [4409] * (PHONES - 1) + ["to one"]
        wait_acked(bob)
        for ws in sockets:
            ws.close()


def what_it_got(ws):
    try:
        item, = ws.envelopes()
    except SocketClosed as closed:
        return closed.code
    ws.ack(up_to=item["seq"])
    return text(item)


def test_acknowledging_by_http_makes_room_at_the_socket(node, phones):
    """Of whichever thread: one connection after the other is tried."""
    alice, bob = phones[:2]
    devices = alice.client.device_list(bob.address)["devices"]
    for phone in alice, bob:
        phone.client.close()
    for round in range(THREADS):
        with alice.client.socket() as ws:
            for _ in range(10):
                ws.send([make_message(bob.address, letters(devices, "x")) for _ in range(30)])
        with ExitStack() as stack:
            others = [stack.enter_context(socket.create_connection((ADDRESS, node.port)))
                      for _ in range(round)]
            with bob.client.socket() as ws:
                items = ws.envelopes(256)
                assert ws.nothing(0.1)
                bob.client.ack(up_to=items[-1]["seq"])
                items += ws.envelopes(44)
                ws.ack(up_to=items[-1]["seq"])
                wait_acked(bob)
            assert len(others) == round
        bob.client.close()


def test_a_removed_device_loses_its_socket_wherever_it_is(node, phones, signal):
    alice = phones[0]
    with ExitStack() as stack:
        for _ in range(THREADS):
            tablet = join_device(signal, alice)
            ws = stack.enter_context(tablet.client.socket())
            ws.wait_for("queue_empty")
            alice.client.remove_device(tablet.device_id)
            assert ws.wait_closed() == 4410


def join_device(signal, phone):
    return type(phone)(signal, phone.client.node, "tablet").link_to(phone)


def certificate_of(node):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection((ADDRESS, node.port))
    tls = context.wrap_socket(raw, server_hostname=node.domain)
    return tls.getpeercert(binary_form=True), tls


def certificates_of(node):
    """As each of the threads serves them."""
    with ExitStack() as stack:
        served = []
        for _ in range(2 * THREADS):
            certificate, connection = certificate_of(node)
            stack.enter_context(connection)
            served.append(certificate)
        return set(served)


def test_all_threads_take_over_a_new_certificate(node):
    former, = certificates_of(node)
    node.lab.authority.issue(node.domain)
    os.kill(node.pid, signals.SIGHUP)
    wait_until(lambda: former not in certificates_of(node), "the new certificate everywhere")
    assert len(certificates_of(node)) == 1
    assert node.log_text().count("event=tls reloaded=yes") == 1


def test_a_tls_session_goes_on_at_any_thread(node):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def connect(session=None):
        raw = stack.enter_context(socket.create_connection((ADDRESS, node.port)))
        return stack.enter_context(
            context.wrap_socket(raw, server_hostname=node.domain, session=session))

    with ExitStack() as stack:
        first = connect()
        first.send(b"GET /healthz HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert first.recv(1000)  # its session is known from here on
        assert not first.session_reused
        assert all(connect(first.session).session_reused for _ in range(2 * THREADS))


def ask_until(done, node):
    """For health, by one connection after the other."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while not done.is_set():
        with suppress(OSError), \
                socket.create_connection((ADDRESS, node.port), timeout=20) as raw, \
                context.wrap_socket(raw, server_hostname=node.domain) as tls:
            tls.send(b"GET /healthz HTTP/1.1\r\nHost: a.test\r\n\r\n")
            tls.recv(1000)


def test_stopping_does_not_wait_for_clients_in_their_handshakes(lab):
    """Whatever has come so far of these. One in six or so would be in the way."""
    node = lab.add_node("a.test", **{**OPTIONS, "listen__threads": THREADS})
    lab.start()
    done = threading.Event()
    clients = [threading.Thread(target=ask_until, args=(done, node)) for _ in range(24)]
    for client in clients:
        client.start()
    try:
        for _ in range(6):
            time.sleep(0.3)
            begun = time.monotonic()
            node.stop()
            assert time.monotonic() - begun < 5
            node.start()
    finally:
        done.set()
        for client in clients:
            client.join()

def documents_of(node):
    """As each of the threads serves it."""
    connections = [node.lab.connection(node) for _ in range(2 * THREADS)]
    served = set()
    for connection in connections:
        connection.request("GET", "/.well-known/restante")
        served.add(connection.getresponse().read())
    for connection in connections:
        connection.close()
    return served


def test_all_threads_serve_the_same_document(node):
    former, = documents_of(node)
    node.command("key", "rotate", "--config", node.config)
    os.kill(node.pid, signals.SIGHUP)
    wait_until(lambda: former not in documents_of(node), "the new document everywhere")
    assert len(documents_of(node)) == 1


def test_health_and_metrics_are_those_of_the_process(node, phones):
    alice, bob = phones[:2]
    before = node.metric("restante_messages_accepted_total")
    for _ in range(THREADS):
        post(alice, letter(alice, bob.address, "hello"))
    for _ in range(THREADS):
        connection = node.lab.connection(node)
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200
        assert node.metric("restante_messages_accepted_total") == before + THREADS
    with bob.client.socket() as ws:
        ws.ack(up_to=ws.envelopes(THREADS)[-1]["seq"])


def test_stopping_in_the_middle_of_much_loses_nothing(lab, signal):
    """What was answered with `stored` is there; sockets are told to come back."""
    node = lab.add_node("a.test", **{**OPTIONS, "listen__threads": THREADS})
    lab.start()
    phones = [join(signal, node, "phone") for _ in range(PHONES)]
    accepted = [[] for _ in phones]

    def send_until_the_end(sender, to, stored):
        devices = sender.client.device_list(to.address)["devices"]
        try:
            with sender.client.socket() as ws:
                for number in itertools.count():
                    message = make_message(to.address, letters(devices, str(number)))
                    result, = ws.send([message])
                    assert result["status"] == "stored"
                    stored.append(message["id"])
        except SocketClosed as closed:
            assert closed.code == 1012

    senders = [threading.Thread(target=send_until_the_end, args=arguments)
               for arguments in zip(phones, phones[1:] + phones[:1], accepted)]
    for sender in senders:
        sender.start()
    wait_until(lambda: all(len(stored) > 20 for stored in accepted), "some messages")
    node.stop()
    for sender in senders:
        sender.join()
    node.start()
    for phone, stored in zip(phones[1:] + phones[:1], accepted):
        with phone.client.socket() as ws:
            ids = [item["id"] for item in ws.envelopes(min(len(stored), 256))]
        assert ids == stored[:256]
