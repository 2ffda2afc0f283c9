# SPDX-License-Identifier: MIT
"""The life of a node's server keys: replaced while messages flow, missed by a node that was
down, leaked and revoked (docs/federation.md)."""

import base64
import json
import os
import re
import signal as signals
import sys
import time
from pathlib import Path

import pytest

from client import ApiError
from lab import wait_until
from peer_fixtures import alice, pat, peer  # noqa: F401
from scenario import OPTIONS, join, letter, post
from test_operator import of, restante

sys.path.append(str(Path(__file__).resolve().parents[1] / "peer"))

from discovery import ServerKey  # noqa: E402
from lab_peer import LabPeer  # noqa: E402
from nacl.signing import SigningKey  # noqa: E402
from wire import TryLater, dump_json  # noqa: E402

SOON = {**OPTIONS, "federation__key_overlap": "2s"}
# With time to look while one key is on its way out.
LATER = {**OPTIONS, "federation__key_overlap": "6s"}
TAKEN_OVER_S = 30


@pytest.fixture
def nodes(lab):
    """a.test, whose keys follow each other quickly, and b.test."""
    pair = lab.add_node("a.test", **SOON), lab.add_node("b.test", **OPTIONS)
    lab.start()
    return pair


@pytest.fixture
def talk(nodes, signal):
    """Delivers a message in both directions."""
    a, b = nodes
    alice, bob = join(signal, a, "alice"), join(signal, b, "bob")
    alice.client.accept(bob.client.address)
    bob.client.accept(alice.client.address)

    def texts(phone):
        return len(phone.client.mailbox(limit=500)["items"])

    def deliver(sender, receiver):
        before = texts(receiver)
        post(sender, letter(sender, receiver.address, "by whichever key"))
        wait_until(lambda: texts(receiver) > before, "a message", 20)

    def both_ways():
        deliver(alice, bob)
        deliver(bob, alice)

    both_ways.alice, both_ways.bob, both_ways.deliver = alice, bob, deliver
    return both_ways


def key(node, *arguments, good=True):
    status, text = restante("key", *arguments, "--config", node.config, node=node)
    assert (status == 0) == good, text
    return text


def phases(node):
    """{kid: phase} as the command lists them."""
    return {line.split()[0]: line.split()[1] for line in key(node, "list").splitlines()}


def reload(node):
    """Until the document is one that was made after it."""
    before = wrapper_of(node)["document"]
    os.kill(node.pid, signals.SIGHUP)
    wait_until(lambda: wrapper_of(node)["document"] != before, "a new document")


def publish(node):
    node.publish()
    node.lab.names.apply()


def wrapper_of(node):
    return json.loads(node.get("/.well-known/restante")[1])


def document_of(node):
    return json.loads(base64.b64decode(wrapper_of(node)["document"]))


def end_of(node, kid):
    return next(key["not_after"] for key in document_of(node)["keys"] if key["kid"] == kid)


def conflicts(*nodes):
    return sum(node.metric("restante_key_conflicts_total") for node in nodes)


def key_of(file):
    """The secret in a key file, for those who have stolen it."""
    head, secret = file.read_text().splitlines()
    return ServerKey(head.split()[1], SigningKey(base64.b64decode(secret)[:32]))


# Rotation

def test_a_node_takes_its_keys_over_by_itself(lab):
    node = lab.add_node("a.test", **LATER)
    lab.start()
    assert phases(node) == {"k1": "signs"}
    text = key(node, "rotate")
    assert re.search(r'TXT "v=restante1; kid=k2; key=', text) and "reload" in text
    assert phases(node) == {"k1": "signs", "k2": "from"}
    reload(node)
    assert set(wrapper_of(node)["signatures"]) == {"k1", "k2"}
    wait_until(lambda: "event=server_keys signs=k2" in node.log_text(), "the turn of k2",
               TAKEN_OVER_S)
    assert phases(node) == {"k1": "until", "k2": "signs"}
    assert "k1 until 20" in of(node, "check")[1] and "k2 signs" in of(node, "check")[1]
    assert len(node.txt_records()) == 2
    wait_until(lambda: phases(node) == {"k1": "ended", "k2": "signs"}, "the end of k1",
               TAKEN_OVER_S)
    assert len(node.txt_records()) == 1
    # The retired key signs documents on, for those who know no other.
    wait_until(lambda: end_of(node, "k1") < time.time() * 1000, "its end in the document")
    assert set(wrapper_of(node)["signatures"]) == {"k1", "k2"}


def test_a_key_is_replaced_while_messages_flow(nodes, talk):
    a, b = nodes
    a.stop()
    # b looks at the document of a once a minute at most.
    a.set({"federation.key_overlap": "61s"})
    a.start()
    talk()
    key(a, "rotate")
    publish(a)
    reload(a)
    pids = a.pid, b.pid
    deadline = time.monotonic() + 120
    while "event=server_keys signs=k2" not in a.log_text():
        assert time.monotonic() < deadline
        talk()
        time.sleep(1)
    talk()
    assert (a.pid, b.pid) == pids
    assert phases(a) == {"k1": "until", "k2": "signs"}
    assert conflicts(a, b) == 0
    assert a.metric("restante_inbound_refused_total") == 0
    assert b.metric("restante_inbound_refused_total") == 0
    assert "verdict=rotated " in b.log_text()


def test_a_node_that_was_down_meanwhile_believes_the_new_key(nodes, talk):
    a, b = nodes
    talk()
    b.stop()
    key(a, "rotate")
    publish(a)
    reload(a)
    wait_until(lambda: phases(a) == {"k1": "ended", "k2": "signs"}, "the end of k1",
               TAKEN_OVER_S)
    publish(a)
    b.start()
    talk()
    assert conflicts(a, b) == 0
    assert "verdict=rotated " in b.log_text()


def test_a_key_file_that_cannot_be_used_changes_nothing(nodes, talk):
    a, b = nodes
    bad = a.folder / "data/keys/k2.key"
    bad.write_text("no key\n")
    bad.chmod(0o600)
    reload(a)
    assert "event=server_keys reason=" in a.log_text()
    assert list(wrapper_of(a)["signatures"]) == ["k1"]
    talk()
    assert of(a, "check")[0] == 1
    bad.unlink()
    assert of(a, "check")[0] == 0


def test_a_new_key_waits_while_its_file_cannot_be_used(lab):
    node = lab.add_node("a.test", **LATER)
    lab.start()
    key(node, "rotate")
    file = node.folder / "data/keys/k2.key"
    file.chmod(0o644)  # as if made by another user, or by careless hands
    reload(node)
    assert list(wrapper_of(node)["signatures"]) == ["k1"]
    file.chmod(0o600)
    reload(node)
    assert phases(node) == {"k1": "signs", "k2": "from"}
    wait_until(lambda: "event=server_keys signs=k2" in node.log_text(), "the turn of k2",
               TAKEN_OVER_S)


# A leak

def test_a_revoked_key_is_refused_at_once(nodes, talk):
    a, b = nodes
    talk()
    with LabPeer(a.lab, "a.test") as thief:  # nobody is led to it
        publish(a)
        thief.keys = [key_of(a.folder / "data/keys/k1.key")]

        def speak():
            return thief.claim(talk.alice.address, talk.bob.address)

        assert speak()["devices"]
        text = key(a, "revoke", "k1", "--root", a.folder / "root.key")
        assert "k1.key.revoked" in text and "kid=k2" in text
        assert not (a.folder / "data/keys/k1.key").exists()
        publish(a)
        reload(a)
        assert phases(a) == {"k2": "signs", "k1": "ended"}
        b.restart()  # so that it looks at the new document, as it would within a day
        talk()
        with pytest.raises(TryLater, match="401.*SIGNATURE_KEY_UNKNOWN"):
            speak()
    assert "verdict=rotated_by_root" in b.log_text()
    assert conflicts(a, b) == 0


def test_revoking_works_while_the_node_is_down_and_others_sleep(nodes, talk):
    a, b = nodes
    talk()
    for node in nodes:
        node.stop()
    key(a, "revoke", "k1", "--root", a.folder / "root.key")
    publish(a)
    a.start()
    assert set(wrapper_of(a)["root_signed"]["signatures"]) == {"root"}
    # Life goes on: k2 is replaced and lost before anybody has looked.
    key(a, "rotate")
    reload(a)
    wait_until(lambda: phases(a)["k3"] == "signs" and phases(a)["k2"] == "ended", "k3",
               TAKEN_OVER_S)
    publish(a)
    b.start()
    talk()
    assert conflicts(a, b) == 0


def test_a_leaked_root_is_replaced(nodes, talk):
    """The new one is believed by whoever knew the old one, which then counts for nothing."""
    a, b = nodes
    talk()
    old, new = a.folder / "root.key", a.folder / "new_root.key"
    a.stop()
    key(a, "root", "--root", old, "--new-root", new)
    a.start()
    b.restart()  # so that it looks at the new document, as it would within a day
    talk()
    assert "verdict=rotated_by_root" in b.log_text()
    assert "not the root key of this node" in key(a, "revoke", "k1", "--root", old, good=False)

    # What the thief can do with the old one, though it still has k1.
    with LabPeer(a.lab, "a.test") as thief:
        thief.keys, thief.root = [ServerKey("k9")], key_of(old).secret
        thief.revision = document_of(a)["revision"] + 1
        thief.sign_by_root()
        thief.revision += 1
        thief.publish()
        a.lab.names.apply()
        b.restart()
        with pytest.raises(ApiError, match="KEY_CONFLICT"):
            talk.bob.client.device_list(talk.alice.address)
        assert conflicts(b) == 1
    publish(a)

    key(a, "revoke", "k1", "--root", new)
    publish(a)
    reload(a)
    b.restart()
    talk()
    assert phases(a) == {"k2": "signs", "k1": "ended"}


def test_without_the_root_others_hold_their_messages(nodes, talk):
    a, b = nodes
    talk()
    held = letter(talk.bob, talk.alice.address, "held")
    (a.folder / "data/keys/k1.key").rename(a.folder / "data/keys/k1.lost")
    key(a, "rotate")
    publish(a)
    reload(a)
    assert phases(a) == {"k2": "signs", "k1": "ended"}
    b.restart()
    before = len(talk.alice.client.mailbox()["items"])
    post(talk.bob, held)
    wait_until(lambda: conflicts(b) == 1, "the conflict")
    assert "event=key_conflict" in b.log_text()
    wait_until(lambda: "to=key_conflict" in b.log_text(), "the outbox is held")
    assert len(talk.alice.client.mailbox()["items"]) == before
    # The root makes it good, whenever it is at hand.
    key(a, "sign", "--root", a.folder / "root.key")
    reload(a)
    b.restart()
    talk.deliver(talk.alice, talk.bob)  # the other way is tried every 15 minutes
    assert "verdict=rotated_by_root" in b.log_text()


def test_only_the_right_root_and_a_known_key(lab):
    node = lab.add_node("a.test", **OPTIONS)
    root = node.folder / "root.key"
    other = lab.add_node("b.test", **OPTIONS).folder / "root.key"
    assert restante("key", "revoke", "--root", root, "--config", node.config, node=node)[0] == 2
    assert restante("key", "revoke", "k1", "--config", node.config, node=node)[0] == 2
    assert restante("key", "sign", "--config", node.config, node=node)[0] == 2
    assert "not the root key" in key(node, "revoke", "k1", "--root", other, good=False)
    assert "no such server key" in key(node, "revoke", "k9", "--root", root, good=False)
    assert phases(node) == {"k1": "signs"}


# With the independent peer

@pytest.fixture
def node(lab):
    node = lab.add_node("a.test", **OPTIONS)
    lab.start()
    return node


def follow(node, peer):
    """The node reads its keys again, and the peer looks for them."""
    reload(node)
    peer.directory.forget("a.test")


def bring(pat, alice, text):
    pat.send(alice.address, text)
    pat.peer.deliver("a.test")


def test_the_peer_follows_the_root(node, peer, alice, pat):
    bring(pat, alice, b"by k1")
    key(node, "sign", "--root", node.folder / "root.key")
    follow(node, peer)
    bring(pat, alice, b"the root has signed k1")
    first = peer.directory.pins["a.test"].root_revision
    old = wrapper_of(node)
    key(node, "revoke", "k1", "--root", node.folder / "root.key")
    follow(node, peer)
    bring(pat, alice, b"k1 is revoked")
    pin = peer.directory.pins["a.test"]
    assert pin.root_revision > first > 0
    assert peer.find("a.test").key("k2") and not peer.find("a.test").key("k1")
    assert alice.texts() == [b"by k1", b"the root has signed k1", b"k1 is revoked"]
    # The old document cannot be shown again.
    exchange = peer.directory.exchange
    peer.directory.exchange = lambda *_, **__: (200, {}, dump_json(old))
    peer.directory.forget("a.test")
    assert peer.find("a.test").conflict
    peer.directory.exchange = exchange


def test_the_peer_follows_a_new_root(node, peer, alice, pat):
    bring(pat, alice, b"by the old root")
    former = peer.directory.pins["a.test"].root_key
    new = node.folder / "new_root.key"
    key(node, "root", "--root", node.folder / "root.key", "--new-root", new)
    follow(node, peer)
    bring(pat, alice, b"by the new root")
    assert peer.directory.pins["a.test"].root_key != former
    key(node, "revoke", "k1", "--root", new)
    follow(node, peer)
    bring(pat, alice, b"k1 is revoked")
    assert peer.find("a.test").key("k2") and not peer.find("a.test").key("k1")
    assert len(alice.texts()) == 3


def test_the_node_follows_the_root_of_the_peer(node, peer, alice, pat):
    bring(pat, alice, b"by k1")
    stolen, = peer.keys
    new = ServerKey("k2")
    stolen.not_after = new.not_before
    peer.keys = [new, stolen]
    peer.revision += 1
    peer.sign_by_root()
    peer.revision += 1
    peer.publish()
    node.lab.names.apply()
    node.restart()
    bring(pat, alice, b"by k2")
    assert alice.texts() == [b"by k1", b"by k2"]
    # What is left to the thief: to show a document of its own, by another way to DNS.
    stolen.not_after = new.not_after
    peer.keys, peer.root_signed = [stolen], None
    peer.revision += 1
    peer.publish([])
    node.lab.names.apply()
    node.restart()
    with pytest.raises(TryLater, match="403.*KEY_CONFLICT"):
        pat.send(alice.address, b"by the thief")
    assert conflicts(node) == 1
    assert len(alice.texts()) == 2
