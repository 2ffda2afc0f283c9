# SPDX-License-Identifier: MIT
"""What the scenario files share: a pair of nodes for all tests of a file, names that no
other test uses, and letters without Signal where only their way matters."""

import itertools
from contextlib import contextmanager

from accounts import Phone
from client import make_message
from lab import Lab
from signal_client import b64

# Hashing as cheap as it gets, limits out of the way, quick retries.
OPTIONS = {
    "accounts__password_memory": "8M",
    "accounts__password_passes": 1,
    "limits__rate_scale": 1000,
    "federation__backoff_first": "100ms",
    "federation__backoff_max": "500ms",
}

_numbers = itertools.count(1)


@contextmanager
def two_nodes(folders, **options):
    """a.test and b.test, serving, in a folder of pytest's that stays."""
    with Lab(folder=folders.mktemp("lab"), keep=True) as lab:
        pair = [lab.add_node(domain, **{**OPTIONS, **options}) for domain in ("a.test", "b.test")]
        lab.start()
        yield pair


def user(name):
    """A user name of its own for each test: they share the nodes."""
    return f"{name}{next(_numbers)}"


def join(signal, node, name, **more):
    """A new account with one device."""
    return Phone(signal, node, name).register(user(name), **more)


def link(signal, phone, name="tablet"):
    """One more device of the phone's account."""
    return Phone(signal, phone.client.node, name).link_to(phone)


def acquaint(*phones):
    """Each accepts all others: then receipts come."""
    for one, other in itertools.permutations(phones, 2):
        one.client.accept(other.address)


def letters(devices, text):
    """Envelopes with an open text: what a node carries is opaque to it."""
    return [{"device_id": device["device_id"], "registration_id": device["registration_id"],
             "type": 1, "content": b64(text.encode())} for device in devices]


def letter(sender, to, text, **more):
    """A message for all devices that `to` has now, as messages/send takes it."""
    listed = sender.client.device_list(to)
    devices = [device for device in listed["devices"]
               if (to, device["device_id"]) != (sender.address, sender.device_id)]
    more.setdefault("list_version", listed["list_version"])
    return make_message(to, letters(devices, text), **more)


def post(sender, message):
    return sender.client.call("POST", "messages/send", message)
