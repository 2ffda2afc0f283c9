# SPDX-License-Identifier: MIT
"""The independent peer (peer.py) as a member of a lab (tests/lib/lab.py), and people with one
device or more on both sides, whose messages are sealed by tests/lib/sealer.py."""

from client import Client
from lab import ADDRESS
from peer import TRANSACTIONS, Peer
from sealer import SealerDevice, seal


class LabPeer(Peer):
    """Serves as soon as it is made. lab.names.apply() shows its records."""

    def __init__(self, lab, domain, certificate_for=None, issued_by=None, **listen):
        self.lab = lab
        certificate, key = (issued_by or lab.authority).issue(certificate_for or domain)
        super().__init__(domain, certificate, key, lab.authority.certificate,
                         (ADDRESS, lab.names.port), allow_private=True, **listen)
        self.publish()
        self.start()

    def publish(self, texts=None):
        names = self.lab.names
        names.addresses[self.domain] = [ADDRESS]
        names.services[self.domain] = [(0, 0, self.port, self.domain)]
        names.texts[self.domain] = self.txt_records() if texts is None else texts

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def interfere(self, reply):
        """From now on transactions are answered with what reply(request, honest) returns, where
        honest() is the right answer. The requests that came are in the list returned."""
        seen = []

        def answer(request):
            def honest():
                return Peer.answer(self, request)

            if request.path != TRANSACTIONS:
                return honest()
            seen.append(request)
            return reply(request, honest)

        self.answer = answer
        return seen

    def behave(self):
        """Ends interfere()."""
        del self.answer


def seal_all(bundles, text):
    return [seal(device, text) for device in bundles["devices"]]


class NodePhone:
    """A device of an account at a real node."""

    def __init__(self, node, username=None, link_to=None):
        self.keys = SealerDevice("phone")
        self.client = Client(node)
        if link_to:
            self.client.link(link_to.client.link_token()["token"], self.keys.public)
        else:
            self.client.register(username, self.keys.public)
        self.address = self.client.address

    def send(self, to, text, bundles=None, **more):
        bundles = bundles or self.client.claim(to)
        more.setdefault("list_version", bundles["list_version"])
        return self.client.send(to, seal_all(bundles, text), **more)["id"]

    def items(self, kind="envelope"):
        return [item for item in self.client.mailbox()["items"] if item["kind"] == kind]

    def texts(self):
        return [self.keys.open(item) for item in self.items()]


class PeerPhone:
    """A device of a user of the Python peer."""

    def __init__(self, peer, username):
        self.peer = peer
        self.keys = SealerDevice("phone")
        self.user = peer.add_device(username, self.keys.public)
        self.address = self.user.address
        self.device_id = max(self.user.devices)
        self.mailbox = self.user.devices[self.device_id].mailbox

    def send(self, to, text, bundles=None):
        """Into the outbox; peer.deliver() sends it."""
        bundles = bundles or self.peer.claim(self.address, to)
        return self.peer.send(self.address, self.device_id, to, seal_all(bundles, text),
                              bundles["list_version"])

    def texts(self):
        return [self.keys.open(item) for item in self.mailbox]

    def acknowledge(self, item):
        self.peer.acknowledge(self.user, self.device_id, item)
