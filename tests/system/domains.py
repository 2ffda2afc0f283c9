# SPDX-License-Identifier: MIT
"""Domains to be discovered: a Python peer (tests/peer) whose records and document a test bends,
and listeners that count who connects."""

import copy
import itertools
import secrets
import socket
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

from client import ApiError, make_message
from lab import ADDRESS, wait_until

sys.path.append(str(Path(__file__).resolve().parents[1] / "peer"))

from discovery import WELL_KNOWN  # noqa: E402
from lab_peer import LabPeer, NodePhone, PeerPhone, seal_all  # noqa: E402
from peer import Peer  # noqa: E402
from wire import b64  # noqa: E402

OPTIONS = {"limits__rate_scale": 1000, "federation__backoff_first": "100ms",
           "federation__backoff_max": "300ms"}
OK = 200, None
CONFLICT = 403, "KEY_CONFLICT"
UNREACHABLE = 502, "PEER_UNREACHABLE"

_numbers = itertools.count(1)


def new_name(word="d", zone="test"):
    return f"{word}{next(_numbers)}.{zone}"


def loopback():
    """An address of this machine that nobody else uses: its port 443 is ours."""
    return "127." + ".".join(str(100 + secrets.randbelow(150)) for _ in range(3))


def txt_record(key):
    return f"v=restante1; kid={key.kid}; key={b64(key.public)}"


class Domain(LabPeer):
    """A domain whose SRV record names another host, with pat as its user. Whoever falls through
    to the domain itself comes to the listener `trap`."""

    def __init__(self, lab, trap=None, name=None, **more):
        self.trap = trap
        self.fetches = 0
        self.well_known = None  # called with the request, instead of serving the document
        super().__init__(lab, name or new_name(), **more)
        self.pat = PeerPhone(self, "pat")

    @property
    def host(self):
        return f"node.{self.domain}"

    def publish(self, texts=None):
        super().publish(texts)
        names = self.lab.names
        names.services[self.domain] = [(0, 0, self.port, self.host)]
        names.addresses[self.host] = [ADDRESS]
        names.addresses[self.domain] = [self.trap.address] if self.trap else []

    def answer(self, request):
        if request.path == WELL_KNOWN:
            self.fetches += 1
            if self.well_known:
                return self.well_known(request)
        return Peer.answer(self, request)


class Listener:
    """Accepts connections, counts them and says nothing."""

    def __init__(self, address=ADDRESS, port=0, family=socket.AF_INET):
        self.address = address
        self.connections = 0
        self._socket = socket.create_server(
            (address, port), family=family, dualstack_ipv6=family == socket.AF_INET6)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._socket.close()


class BlackHole:
    """A port that does not answer, not even with a refusal: its queue of connections is full."""

    def __init__(self):
        self._listener = socket.create_server((ADDRESS, 0), backlog=0)
        self.port = self._listener.getsockname()[1]
        self._fill = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex((ADDRESS, self.port))
            self._fill.append(sock)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for sock in self._listener, *self._fill:
            sock.close()


@contextmanager
def own_connection(phone):
    """The phone's client once more, for use in another thread."""
    client = copy.copy(phone.client)
    client._connection = None
    try:
        yield client
    finally:
        client.close()


def try_claim(phone, address):
    """The status of a claim, and its code when it is refused."""
    with own_connection(phone) as client:
        try:
            client.claim(address)
        except ApiError as error:
            return error.status, error.code
        return 200, None


def post(phone, domain, text):
    """A message for pat, whose keys were had in another way: no discovery before the outbox."""
    bundle = domain.pat.user.devices[1].bundle()
    message = make_message(domain.pat.address, seal_all({"devices": [bundle]}, text))
    with own_connection(phone) as client:
        return client.call("POST", "messages/send", message)["id"]


def wait_arrived(domain, seconds=25):
    """What pat has got, as soon as there is something."""
    return wait_until(domain.pat.texts, f"a message for {domain.domain}", seconds)


def at_once(count, work):
    """Runs work(0) to work(count - 1), each in a thread; their results in order."""
    results = [None] * count
    barrier = threading.Barrier(count)

    def run(i):
        barrier.wait()
        results[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def new_phone(node):
    return NodePhone(node, new_name("alice", "").rstrip("."))
