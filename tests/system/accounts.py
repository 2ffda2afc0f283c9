# SPDX-License-Identifier: MIT
"""Signal devices with their accounts: what most scenarios begin with."""

from client import Client


class Phone:
    """One device of an account: its keys and sessions (signal), its tokens (client)."""

    def __init__(self, signal, node, name="phone", **keys):
        self.signal = signal.device(name, **keys)
        self.client = Client(node)

    @property
    def address(self):
        return self.client.address

    @property
    def device_id(self):
        return self.client.device_id

    def register(self, username, **more):
        self._bind(self.client.register(username, self.signal.public, **more))
        return self

    def link_to(self, other):
        token = other.client.link_token()["token"]
        self._bind(self.client.link(token, self.signal.public))
        return self

    def _bind(self, session):
        self.signal.bind(session["address"], session["device_id"])

    def send(self, to, plaintext, **more):
        """Claims bundles for `to`, seals for all of its devices and sends."""
        bundles = self.client.claim(to)
        more.setdefault("list_version", bundles["list_version"])
        return self.client.send(to, self.signal.envelopes(bundles, plaintext), **more)

    def open(self, item):
        return self.signal.decrypt(item)
