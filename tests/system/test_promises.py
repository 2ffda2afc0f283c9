# SPDX-License-Identifier: MIT
"""Mistakes that federated systems are known for and that no other file looks for.
docs/promises.md lists all of them with their tests."""

import itertools
import re
import threading
import time

import pytest

from lab import ROOT, Lab, wait_until
from peer_fixtures import alice, pat, peer  # noqa: F401

from discovery import WELL_KNOWN
from lab_peer import NodePhone, seal_all
from peer import DEVICE_LIST, TRANSACTIONS
from wire import Reply, random_text

_numbers = itertools.count(1)


def test_every_test_on_the_page_exists():
    page = (ROOT / "docs/promises.md").read_text()
    named = re.findall(r"`(\w+\.(?:py|c))` ((?:`\w+`(?:, )?)+)", page)
    assert len(named) > 30
    for file, tests in named:
        source, = (ROOT / "tests").rglob(file)
        for test in re.findall(r"`(\w+)`", tests):
            assert re.search(rf"^(def|static void) {test}\(", source.read_text(), re.MULTILINE), \
                f"{file} has no {test}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    quick = {"limits__rate_scale": 1000, "federation__backoff_first": "100ms",
             "federation__backoff_max": "300ms"}
    with Lab(folder=tmp_path_factory.mktemp("promises") / "lab", keep=True) as lab:
        lab.add_node("a.test", **quick)
        lab.add_node("b.test", **quick)
        lab.start()
        yield lab


@pytest.fixture
def node(lab):
    return lab.nodes["a.test"]


def delivered(phone, message_id):
    return phone.client.message(message_id)["status"] == "delivered"


def transaction(*items):
    return {"stream": random_text(), "seq": 1, "items": list(items)}


# Who may say what


def test_signed_request_is_good_at_one_node_only(lab, peer, alice):
    """What a node gets from another one it cannot use at a third."""
    body = b'{"stream":"AAECAwQFBgcICQoLDA0ODw","seq":1,"items":[{"kind":"void"}]}'
    headers, _ = peer.sign_request("a.test", "a.test", TRANSACTIONS, body)
    assert peer.post("b.test", TRANSACTIONS, headers, body)[0] == 401
    headers["Restante-Destination"] = "b.test"
    assert peer.post("b.test", TRANSACTIONS, headers, body)[0] == 401
    assert lab.nodes["b.test"].metric("restante_transactions_received_total") == 0


def test_nobody_writes_in_the_name_of_another_domain(peer, alice, pat):
    """Neither of a third one, nor of the node's own users."""
    envelopes = seal_all(peer.claim(pat.address, alice.address), b"forged")
    items = [peer.message(sender, 1, alice.address, envelopes)
             for sender in ("bob@b.test", f"pat@sub.{peer.domain}", alice.address)]
    status, answer = peer.call("a.test", TRANSACTIONS, transaction(*items))
    assert status == 200
    assert [result["code"] for result in answer["results"]] == ["bad"] * 3
    assert alice.items() == []


def test_same_name_on_two_nodes_is_two_people(lab):
    name = f"sam{next(_numbers)}"
    here, there = (NodePhone(lab.nodes[domain], name) for domain in ("a.test", "b.test"))
    message_id = here.send(there.address, b"from my namesake")
    wait_until(lambda: delivered(here, message_id), "delivery")
    assert [item["from"] for item in there.items()] == [here.address]
    assert here.items() == []
    here.send(f"{name}@b.test", b"again")
    there.send(f"{name}@a.test", b"back")
    wait_until(here.items, "the answer")
    assert here.texts() == [b"back"]


def test_device_elsewhere_with_the_same_keys_takes_nothing(peer, alice, pat):
    """Public keys are public: whoever shows them elsewhere gets nobody's mail or name."""
    mallory = peer.add_device("mallory", alice.keys.public)
    bundles = peer.claim(pat.address, alice.address)
    peer.send(mallory.address, 1, alice.address, seal_all(bundles, b"who am I"))
    pat.send(alice.address, b"for alice", bundles)
    peer.deliver("a.test")
    assert [item["from"] for item in alice.items()] == [mallory.address, pat.address]
    assert mallory.devices[1].mailbox == []
    answer = alice.client.send(pat.address, seal_all(alice.client.claim(pat.address), b"mine"))
    wait_until(lambda: delivered(alice, answer["id"]), "delivery")
    assert pat.mailbox[0]["from"] == alice.address


def test_other_nodes_see_of_a_device_only_its_keys(peer, alice, pat):
    public = {"device_id", "registration_id", "scheme", "identity_key"}
    listed, = peer.device_list(pat.address, alice.address)["devices"]
    assert listed.keys() == public
    claimed, = peer.claim(pat.address, alice.address)["devices"]
    assert claimed.keys() == public | {"signed_prekey", "one_time_prekey", "pq_prekey"}


def test_unsigned_request_makes_no_discovery(node, peer, alice):
    """Nobody has this node look for others by just naming them."""
    asked = []
    honest = peer.answer
    peer.answer = lambda request: (asked.append(request.path), honest(request))[1]
    headers, _ = peer.sign_request("a.test", "a.test", DEVICE_LIST, b"{}")
    for missing in "Signature", "Signature-Input", "Content-Digest":
        rest = {name: value for name, value in headers.items() if name != missing}
        assert peer.post("a.test", DEVICE_LIST, rest, b"{}")[0] == 401
    assert WELL_KNOWN not in asked
    assert peer.post("a.test", DEVICE_LIST, headers, b"{}")[0] == 400
    assert asked.count(WELL_KNOWN) == 1


# Nothing is lost, doubled or kept from its sender


def test_slow_answer_brings_no_second_copy(peer, alice, pat):
    """What is on its way is not sent again beside it."""
    bundles = alice.client.claim(pat.address)
    go_on = threading.Event()
    seen = peer.interfere(lambda request, honest: (go_on.wait(20), honest())[1])
    ids = [alice.send(pat.address, b"%d" % i, bundles) for i in range(5)]
    wait_until(lambda: seen, "the transaction")
    time.sleep(1.5)  # many times the backoff of these nodes
    assert len(seen) == 1
    go_on.set()
    wait_until(lambda: delivered(alice, ids[-1]), "delivery")
    assert pat.texts() == [b"%d" % i for i in range(5)]


def test_one_failure_costs_one_short_wait(peer, alice, pat):
    """A node that restarts is not cut off for minutes."""
    failed = []

    def reply(request, honest):
        if failed:
            return honest()
        failed.append(request)
        return Reply(503, {}, b"restarting")

    peer.interfere(reply)
    message_id = alice.send(pat.address, b"soon")
    wait_until(lambda: delivered(alice, message_id), "delivery", seconds=5)
    assert failed and pat.texts() == [b"soon"]


def test_first_message_comes_before_the_second_whatever_fails(peer, alice, pat):
    """All that goes to a domain stands in one line, the message that opens a session too."""
    bundles = alice.client.claim(pat.address)
    refused = itertools.count(1)
    peer.interfere(lambda request, honest: honest() if next(refused) % 3 == 0
                   else Reply(502, {}, b""))
    texts = [b"%d" % i for i in range(12)]
    for text in texts:
        last = alice.send(pat.address, text, bundles)
        time.sleep(0.05)
    wait_until(lambda: delivered(alice, last), "delivery", seconds=20)
    assert pat.texts() == texts


def test_node_that_is_down_is_not_asked_for_every_message(peer, alice, pat):
    bundles = alice.client.claim(pat.address)
    seen = peer.interfere(lambda *_: Reply(502, {}, b""))
    started = time.monotonic()
    for i in range(100):
        last = alice.send(pat.address, b"%d" % i, bundles)
    tries, seconds = len(seen), time.monotonic() - started
    assert tries <= 3 + seconds / 0.08  # first backoff 100 ms, with jitter
    peer.behave()
    wait_until(lambda: delivered(alice, last), "delivery")
    assert len(pat.mailbox) == 100


# Standing alone


def test_node_starts_when_nothing_else_is_there(tmp_path):
    """No name server, no other node, no registry: its own users are served."""
    with Lab(folder=tmp_path / "lab", keep=True) as lab:
        node = lab.add_node("alone.test")
        node.start()
        alice, bob = NodePhone(node, "alice"), NodePhone(node, "bob")
        alice.send(bob.address, b"just us")
        assert bob.texts() == [b"just us"]


def test_reachable_under_whatever_host_a_proxy_says(peer, alice):
    """The authority in signatures is the published one: no Host header breaks or replaces it."""
    body = b'{"stream":"AAECAwQFBgcICQoLDA0ODw","seq":1,"items":[{"kind":"void"}]}'
    headers, _ = peer.sign_request("a.test", "a.test", TRANSACTIONS, body)
    assert peer.post("a.test", TRANSACTIONS, {**headers, "Host": "10.0.0.7:8080"}, body)[0] == 200
    headers, _ = peer.sign_request("a.test", "10.0.0.7:8080", TRANSACTIONS, body)
    assert peer.post("a.test", TRANSACTIONS, {**headers, "Host": "10.0.0.7:8080"}, body)[0] == 401
