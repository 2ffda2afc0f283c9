# SPDX-License-Identifier: MIT
"""A real node and the independent peer (tests/peer), which was written from docs/protocol.md
alone, federate in both directions: alice@a.test is on the node, pat on the peer. And whatever
the peer answers that is no verdict, the node keeps the message and delivers it later."""

import itertools
import re
import threading
import time
from pathlib import Path

import pytest

from client import ApiError, new_id
from lab import Lab, wait_until
from peer_fixtures import alice, pat, peer  # noqa: F401

from discovery import ServerKey, check_document, parse_txt
from lab_peer import LabPeer, NodePhone, PeerPhone, seal_all
from nacl.signing import SigningKey
from peer import TRANSACTIONS, LIMITS, Stream
from wire import DAY, REQUEST_TAG, RESPONSE_TAG, Asked, Refusal, Reply, TryLater
from wire import content_digest, dump_json, now_ms, parse_json, random_text
from wire import request_components, response_components, sign

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Lab(folder=tmp_path_factory.mktemp("peer") / "lab", keep=True) as lab:
        node = lab.add_node("a.test", limits__rate_scale=1000, federation__backoff_first="100ms",
                            federation__backoff_max="300ms")
        lab.start()
        yield node


def status_of(phone, message_id):
    return phone.client.message(message_id)["status"]


def wait_delivered(phone, message_id, seconds=10):
    wait_until(lambda: status_of(phone, message_id) == "delivered", "delivery", seconds)


def test_vectors_of_the_document():
    """The peer's own code makes the signatures that docs/protocol.md shows."""
    text = (Path(__file__).resolve().parents[2] / "docs/protocol.md").read_text()
    seeds = dict(re.findall(r"\| `([ab])\.example` \| `([0-9a-f]{64})`", text))
    key = {name: ServerKey("k1", SigningKey(bytes.fromhex(seed))) for name, seed in seeds.items()}
    digest = re.search(r"\nContent-Digest: (sha-256=:\S{44}:)\n", text)[1]
    asked = Asked("b.example", TRANSACTIONS, digest, "b.example", "AAECAwQFBgcICQoLDA0ODw")
    made = sign(request_components(asked), REQUEST_TAG, 1767225600, asked.nonce, "a.example",
                key["a"])
    made_back = sign(response_components(200, content_digest(b'{"acked":1,"results":[]}'), asked),
                     RESPONSE_TAG, 1767225601, asked.nonce, "b.example", key["b"])
    for headers in made, made_back:
        for name, value in headers.items():
            assert f"\n{name}: {value}\n" in text
    served = re.search(r'^{"document":.*}$', text, re.MULTILINE)[0].encode()
    document = check_document(served, "a.example", 1767225600000)
    assert document.authority == "a.example"
    assert document.is_signed_by("root", document.root_key)
    *_, later = re.findall(r'^{"document":.*}$', text, re.MULTILINE)
    later = check_document(later.encode(), "a.example", 1767225600000 + 20 * DAY)
    assert set(later.keys) == {"k1", "k2"} and "root" not in later.signatures
    assert later.root_signed.is_signed_by("root", document.root_key)
    assert document.revision < later.root_signed.revision < later.revision
    txt, = re.findall(r"^v=restante1; kid=k1; .*$", text, re.MULTILINE)
    assert parse_txt([txt]) == {"k1": {document.keys["k1"].bytes}}


# Messages, receipts and keys in both directions


def test_messages_and_receipts_both_ways(peer, alice, pat):
    tablet = PeerPhone(peer, "pat")
    alice.client.accept(pat.address)
    with alice.client.socket() as ws:
        first = pat.send(alice.address, b"dear alice")
        peer.deliver("a.test")
        item, = ws.envelopes()
        assert (item["id"], item["from"], item["from_device"]) == (first, pat.address, 1)
        assert alice.keys.open(item) == b"dear alice"
        ws.ack(up_to=item["seq"])
        receipt = wait_until(lambda: pat.user.receipts, "a receipt")[0]
        assert receipt == {"id": first, "from": alice.address, "devices": [1], "to_device": 1}

        second = alice.send(pat.address, b"dear pat")
        wait_delivered(alice, second)
        for phone in pat, tablet:
            taken, = phone.mailbox
            assert (taken["id"], taken["from"], taken["from_device"]) == \
                (second, alice.address, 1)
            assert phone.keys.open(taken) == b"dear pat"
            phone.acknowledge(taken)
        peer.deliver("a.test")
        assert sorted(sum((r["devices"] for r in ws.receipts(2)), [])) == [1, 2]
    assert sorted(alice.client.message(second)["taken_by"]) == [1, 2]
    assert not pat.user.results


def test_one_time_keys_are_handed_out_once_in_both_directions(peer, alice, pat):
    def key(bundles):
        return bundles["devices"][0]["one_time_prekey"]

    alice.client.accept(pat.address)
    node_keys = [key(peer.claim(pat.address, alice.address)) for _ in range(6)]
    peer_keys = [key(alice.client.claim(pat.address)) for _ in range(6)]
    for keys in node_keys, peer_keys:  # five each had been uploaded
        assert keys[5] is None
        assert len({key["id"] for key in keys[:5]}) == 5


def test_repeated_claim_gets_the_same_answer(peer, alice, pat):
    first = peer.claim(pat.address, alice.address, claim_id="again")
    assert peer.claim(pat.address, alice.address, claim_id="again") == first
    claim_id = new_id()
    first = alice.client.claim(pat.address, claim_id=claim_id)
    assert alice.client.claim(pat.address, claim_id=claim_id) == first


def test_claim_of_some_devices(peer, node, alice, pat):
    NodePhone(node, link_to=alice)
    bundles = peer.claim(pat.address, alice.address, devices=[2])
    assert [device["device_id"] for device in bundles["devices"]] == [2]
    PeerPhone(peer, "pat")
    bundles = alice.client.claim(pat.address, devices=[2])
    assert [device["device_id"] for device in bundles["devices"]] == [2]


def test_devices_changed_is_told_both_ways(peer, node, alice, pat):
    pat.user.accepted.add(alice.address)
    before = peer.device_list(pat.address, alice.address)
    NodePhone(node, link_to=alice)
    version = wait_until(lambda: pat.user.lists_seen.get(alice.address), "devices_changed")
    after = peer.device_list(pat.address, alice.address)
    assert before["list_version"] < version == after["list_version"]
    assert [device["device_id"] for device in after["devices"]] == [1, 2]

    alice.client.accept(pat.address)
    with alice.client.socket() as ws:
        assert len(alice.client.device_list(pat.address)["devices"]) == 1
        PeerPhone(peer, "pat")
        peer.deliver("a.test")
        frame = ws.wait_for("devices_changed")
    assert (frame["address"], frame["list_version"]) == (pat.address, pat.user.list_version)
    assert len(alice.client.device_list(pat.address)["devices"]) == 2


def test_ephemeral_both_ways(peer, alice, pat):
    alice.client.accept(pat.address)
    with alice.client.socket() as ws:
        ws.wait_for("queue_empty")
        bundles = peer.claim(pat.address, alice.address)
        item = peer.message(pat.address, 1, alice.address, seal_all(bundles, b"now"))
        for absent in "token", "expires_at", "urgent", "list_version":
            del item[absent]
        answer = peer.call("a.test", TRANSACTIONS, {"ephemeral": [item]})
        assert answer == (200, {"acked": 0, "results": []})
        envelope, = ws.envelopes()
        assert envelope["ephemeral"] and "seq" not in envelope
        assert alice.keys.open(envelope) == b"now"
    assert alice.items() == []
    handled = []
    peer.interfere(lambda request, honest: (honest(), handled.append(request))[0])
    alice.send(pat.address, b"from a stranger", ephemeral=True)
    wait_until(lambda: handled, "the ephemeral message of a stranger")
    pat.user.accepted.add(alice.address)
    alice.send(pat.address, b"there", ephemeral=True)
    wait_until(lambda: pat.mailbox, "an ephemeral message")
    assert pat.mailbox[0]["ephemeral"] and pat.texts() == [b"there"]


# Refused by the recipient


def test_stale_list_both_ways(peer, node, alice, pat):
    old = peer.claim(pat.address, alice.address)
    tablet = NodePhone(node, link_to=alice)
    message_id = pat.send(alice.address, b"one device is missing", old)
    peer.deliver("a.test")
    result, = pat.user.results
    assert (result["id"], result["code"]) == (message_id, "stale_list")
    assert result["list_version"] == alice.client.devices()["list_version"]
    assert result["devices"] == [
        {"device_id": i, **{name: phone.keys.public[name] for name in
                            ("registration_id", "scheme", "identity_key")}}
        for i, phone in ((1, alice), (2, tablet))]
    assert alice.items() == tablet.items() == []
    pat.send(alice.address, b"both")
    peer.deliver("a.test")
    assert alice.texts() == tablet.texts() == [b"both"]

    old = alice.client.claim(pat.address)
    second = PeerPhone(peer, "pat")  # which nobody has been told of
    message_id = alice.send(pat.address, b"one device is missing", old)
    wait_until(lambda: alice.items("send_result"), "a send_result")
    result, = alice.items("send_result")
    assert (result["id"], result["to"], result["code"]) == \
        (message_id, pat.address, "stale_list")
    assert result["list_version"] == pat.user.list_version
    assert alice.client.message(message_id) | {"code": "stale_list", "status": "failed"} == \
        alice.client.message(message_id)
    assert pat.mailbox == second.mailbox == []
    wait_delivered(alice, alice.send(pat.address, b"both"))
    assert pat.texts() == second.texts() == [b"both"]


def test_other_registration_id_is_stale(peer, alice, pat):
    bundles = peer.claim(pat.address, alice.address)
    bundles["devices"][0]["registration_id"] ^= 1
    pat.send(alice.address, b"to the former one", bundles)
    peer.deliver("a.test")
    assert pat.user.results[0]["code"] == "stale_list"
    assert alice.items() == []


def test_unavailable_both_ways(peer, alice, pat):
    with pytest.raises(Refusal) as refused:
        peer.claim(pat.address, "nobody@a.test")
    assert (refused.value.status, refused.value.code) == (404, "UNAVAILABLE")
    bundles = peer.claim(pat.address, alice.address)
    alice.client.block(pat.address)
    pat.send(alice.address, b"blocked", bundles)
    peer.deliver("a.test")
    assert pat.user.results[0]["code"] == "unavailable"
    assert alice.items() == []

    with pytest.raises(ApiError) as refused:
        alice.client.claim(f"nobody@{peer.domain}")
    assert (refused.value.status, refused.value.code) == (404, "UNAVAILABLE")
    bundles = alice.client.claim(pat.address)
    pat.user.blocked.add(alice.address)
    alice.send(pat.address, b"blocked", bundles)
    wait_until(lambda: alice.items("send_result"), "a send_result")
    assert alice.items("send_result")[0]["code"] == "unavailable"
    assert pat.mailbox == []


# Streams


def test_repeated_transaction_gets_the_same_answer_and_is_taken_once(peer, alice, pat):
    bundles = peer.claim(pat.address, alice.address)
    good = peer.message(pat.address, 1, alice.address, seal_all(bundles, b"once"))
    lost = peer.message(pat.address, 1, "nobody@a.test", good["envelopes"])
    body = dump_json({"stream": random_text(), "seq": 1, "items": [good, lost]})
    first = peer.call("a.test", TRANSACTIONS, body)
    assert first == (200, {"acked": 2, "results": [{"seq": 2, "code": "unavailable"}]})
    for _ in range(3):
        assert peer.call("a.test", TRANSACTIONS, body) == first
    # In another stream the items are known too.
    body = dump_json({"stream": random_text(), "seq": 1, "items": [good, lost]})
    status, answer = peer.call("a.test", TRANSACTIONS, body)
    assert (status, answer["results"]) == (200, [{"seq": 1, "code": "duplicate"},
                                                 {"seq": 2, "code": "unavailable"}])
    assert alice.texts() == [b"once"]


@pytest.mark.parametrize("seq", [0, 1, 3, 50], ids="seq={}".format)
def test_number_out_of_order_resets_the_stream(peer, alice, pat, seq):
    bundles = peer.claim(pat.address, alice.address)
    stream = random_text()

    def send(seq, text):
        item = peer.message(pat.address, 1, alice.address, seal_all(bundles, text))
        return peer.call("a.test", TRANSACTIONS, {"stream": stream, "seq": seq, "items": [item]})

    assert send(1, b"first")[0] == 200
    status, answer = send(seq, b"not next")
    if seq == 0:
        assert (status, answer["error"]["code"]) == (400, "VALIDATION_ERROR")
    else:
        assert (status, answer["error"]["code"]) == (409, "STREAM_RESET")
    assert send(2, b"second")[0] == 200
    assert alice.texts() == [b"first", b"second"]


def test_new_stream_must_begin_at_one(peer, alice, pat):
    item = peer.message(pat.address, 1, alice.address,
                        seal_all(peer.claim(pat.address, alice.address), b"unknown stream"))
    status, answer = peer.call("a.test", TRANSACTIONS,
                               {"stream": random_text(), "seq": 2, "items": [item]})
    assert (status, answer["error"]["code"]) == (409, "STREAM_RESET")
    assert alice.items() == []


def test_peer_recovers_from_a_reset_without_doubles(peer, alice, pat):
    bundles = peer.claim(pat.address, alice.address)
    pat.send(alice.address, b"one", bundles)
    peer.deliver("a.test")
    outbox = peer.outbox("a.test")
    old_stream = outbox.stream
    outbox.acked += 7  # as if from a backup
    for text in b"two", b"three":
        pat.send(alice.address, text, bundles)
    peer.deliver("a.test")
    assert outbox.stream != old_stream and outbox.acked == 2
    assert alice.texts() == [b"one", b"two", b"three"]


def test_node_recovers_from_a_reset_without_doubles(peer, alice, pat):
    bundles = alice.client.claim(pat.address)
    wait_delivered(alice, alice.send(pat.address, b"one", bundles))

    def taken_but_not_told(request, honest):
        honest()
        return Reply(502, {}, b"gone")

    seen = peer.interfere(taken_but_not_told)
    ids = [alice.send(pat.address, b"two", bundles)]
    wait_until(lambda: seen, "the transaction")
    # The peer forgets the stream, as a restored backup does, but not what it has taken.
    peer.receiver._streams["a.test"] = Stream(random_text(), 1, 9, b"", {})
    ids.append(alice.send(pat.address, b"three", bundles))
    peer.behave()
    for message_id in ids:
        wait_delivered(alice, message_id)
    assert pat.texts() == [b"one", b"two", b"three"]
    assert alice.items("send_result") == []


def test_two_hundred_messages_each_way_arrive_in_order(peer, alice, pat):
    texts = [b"%d" % i for i in range(200)]
    bundles = peer.claim(pat.address, alice.address)
    for text in texts:
        pat.send(alice.address, text, bundles)
    peer.deliver("a.test")
    bundles = alice.client.claim(pat.address)
    for text in texts:
        last = alice.send(pat.address, text, bundles)
    wait_delivered(alice, last)
    assert pat.texts() == texts
    first = alice.texts()
    alice.client.ack(up_to=alice.client.mailbox()["items"][-1]["seq"])
    assert first + alice.texts() == texts


# What is no verdict

RAW = {"acked": 1, "results": []}


def signed(peer, request, status, answer, **about):
    """A reply that is signed as if the request had been another one."""
    _, asked = peer.check_request(request)
    return peer.signed_reply(asked._replace(**about), status, answer)


def by_another_key(peer, request):
    own, peer.keys[0].secret = peer.keys[0].secret, SigningKey.generate()
    try:
        return signed(peer, request, 200, RAW)
    finally:
        peer.keys[0].secret = own


def with_header(reply, **headers):
    return reply._replace(headers={**reply.headers, **{
        name.replace("_", "-"): value for name, value in headers.items()}})


def hang_up(*_):
    raise ConnectionAbortedError


def refusal(status, code="OTHER"):
    return Refusal(status, code).body


NO_VERDICTS = {
    "200 unsigned": lambda p, r: Reply(200, {}, dump_json(RAW)),
    "200 unsigned garbage": lambda p, r: Reply(200, {}, b"\0\xff<html>"),
    "200 empty": lambda p, r: Reply(200, {}, b""),
    "200 signed ten minutes ago": lambda p, r: p.signed_reply(
        p.check_request(r)[1], 200, RAW, created=now_ms() // 1000 - 600),
    "200 signed for another nonce": lambda p, r: signed(p, r, 200, RAW, nonce=random_text()),
    "200 signed for another body":
        lambda p, r: signed(p, r, 200, RAW, digest=content_digest(b"{}")),
    "200 signed for another path":
        lambda p, r: signed(p, r, 200, RAW, path="/federation/v1/keys/claim"),
    "200 signed for another node":
        lambda p, r: signed(p, r, 200, RAW, destination="other.test"),
    "200 signed for another status":
        lambda p, r: signed(p, r, 404, RAW)._replace(status=200),
    "200 by another key": by_another_key,
    "200 body altered": lambda p, r: signed(p, r, 200, RAW)._replace(
        body=dump_json({"acked": 1, "results": [{"seq": 1, "code": "bad"}]})),
    "200 of another content type": lambda p, r: with_header(
        signed(p, r, 200, RAW), Content_Type="text/html"),
    "400 unsigned": lambda p, r: Reply(400, {}, dump_json(refusal(400, "VALIDATION_ERROR"))),
    "409 unsigned": lambda p, r: Reply(409, {}, dump_json(refusal(409, "STREAM_RESET"))),
    "413 unsigned": lambda p, r: Reply(413, {}, b"too large"),
    "401 signed": lambda p, r: signed(p, r, 401, refusal(401, "SIGNATURE_CLOCK")),
    "403 signed": lambda p, r: signed(p, r, 403, refusal(403, "KEY_CONFLICT")),
    "404 signed": lambda p, r: signed(p, r, 404, refusal(404, "NOT_FOUND")),
    "409 signed, not of the stream": lambda p, r: signed(p, r, 409, refusal(409)),
    "429 signed": lambda p, r: signed(p, r, 429, refusal(429, "RATE_LIMITED")),
    "500 unsigned": lambda p, r: Reply(500, {}, b"oops"),
    "500 signed": lambda p, r: signed(p, r, 500, refusal(500, "INTERNAL_ERROR")),
    "503 signed, later": lambda p, r: with_header(
        signed(p, r, 503, refusal(503, "BUSY")), Retry_After="1"),
    "redirect": lambda p, r: Reply(307, {"Location": f"https://{p.domain}{TRANSACTIONS}"}, b""),
    "huge body": lambda p, r: Reply(200, {}, b" " * (32 << 20)),
    "huge head": lambda p, r: with_header(signed(p, r, 200, RAW), X_Long="x" * 60_000),
    "half a body": lambda p, r: with_header(signed(p, r, 200, RAW), Content_Length="4000000",
                                            Connection="close"),
    "no answer": hang_up,
    "less acked than sent": lambda p, r: signed(p, r, 200, {"acked": 0, "results": []}),
    "more acked than sent": lambda p, r: signed(p, r, 200, {"acked": 5, "results": []}),
    "result for an item never sent": lambda p, r: signed(
        p, r, 200, {"acked": 1, "results": [{"seq": 2, "code": "bad"}]}),
    "result for an item taken before": lambda p, r: signed(
        p, r, 200, {"acked": 1, "results": [{"seq": 0, "code": "bad"}]}),
    "two results for one item": lambda p, r: signed(
        p, r, 200, {"acked": 1, "results": [{"seq": 1, "code": "duplicate"}] * 2}),
    "explicit ok": lambda p, r: signed(
        p, r, 200, {"acked": 1, "results": [{"seq": 1, "code": "ok"}]}),
    "unknown code": lambda p, r: signed(
        p, r, 200, {"acked": 1, "results": [{"seq": 1, "code": "expired"}]}),
    "stale_list without a version": lambda p, r: signed(
        p, r, 200, {"acked": 1, "results": [{"seq": 1, "code": "stale_list"}]}),
    "over_quota without devices": lambda p, r: signed(
        p, r, 200, {"acked": 1, "results": [{"seq": 1, "code": "over_quota"}]}),
    "no results": lambda p, r: signed(p, r, 200, {"acked": 1}),
    "not an object": lambda p, r: signed(p, r, 200, [RAW]),
}


class Case:
    """A message to a peer of its own that gives one kind of wrong answers."""

    def __init__(self, node, alice, wrong):
        self.peer = LabPeer(node.lab, f"other{next(_numbers)}.test")
        self.pat = PeerPhone(self.peer, "pat")
        self.alice = alice
        self.seen = self.peer.interfere(lambda request, _: wrong(self.peer, request))

    def send(self):
        self.message_id = self.alice.send(self.pat.address, b"kept")

    def has_tried_again(self):
        return len({request.headers["signature-input"] for request in self.seen}) >= 2

    def delivered(self):
        return status_of(self.alice, self.message_id) == "delivered"


@pytest.fixture(scope="module")
def cases(node):
    """All of them at the same time, until the node has tried each again."""
    alice = NodePhone(node, "patient")
    cases = {name: Case(node, alice, wrong) for name, wrong in NO_VERDICTS.items()}
    node.lab.names.apply()
    for case in cases.values():
        case.send()
    deadline = time.monotonic() + 15
    while not all(case.has_tried_again() for case in cases.values()) and \
            time.monotonic() < deadline:
        time.sleep(0.1)
    before = {name: status_of(alice, case.message_id) for name, case in cases.items()}
    for case in cases.values():
        case.peer.behave()
    yield cases, before
    for case in cases.values():
        case.peer.stop()


@pytest.mark.parametrize("name", NO_VERDICTS)
def test_what_is_no_verdict_changes_nothing(cases, name):
    cases, before = cases
    case = cases[name]
    assert case.has_tried_again()
    assert before[name] == "queued"
    wait_until(case.delivered, "delivery")
    assert len({request.body for request in case.seen}) == 1
    assert case.pat.texts() == [b"kept"]
    assert case.alice.items("send_result") == []


def test_slow_answers(peer, alice, pat):
    """One that does not answer a claim in time is told so; transactions are repeated."""
    bundles = alice.client.claim(pat.address)
    over = threading.Event()
    honest = peer.answer

    def answer(request):
        over.wait(60)
        return honest(request)

    peer.answer = answer
    message_id = alice.send(pat.address, b"kept", bundles)
    started = time.monotonic()
    with pytest.raises(ApiError) as refused:
        alice.client.claim(pat.address)
    assert (refused.value.status, refused.value.code) == (504, "PEER_TIMEOUT")
    assert time.monotonic() - started < 12
    assert status_of(alice, message_id) == "queued"
    over.set()
    wait_delivered(alice, message_id)
    assert pat.texts() == [b"kept"]


@pytest.mark.parametrize("status, code", [(400, "bad"), (413, "too_large")])
def test_poisonous_item_fails_alone(peer, alice, pat, status, code):
    """The peer refuses every batch that has a certain item in it."""
    bundles = alice.client.claim(pat.address)
    down = [True]
    poison = new_id()

    def reply(request, honest):
        if down[0]:
            return Reply(502, {}, b"")
        if poison in request.body.decode():
            return signed(peer, request, status, refusal(status, "VALIDATION_ERROR"))
        return honest()

    seen = peer.interfere(reply)
    ids = [alice.send(pat.address, b"%d" % i, bundles, id=poison if i == 11 else None)
           for i in range(20)]
    assert ids[11] == poison
    wait_until(lambda: seen, "a try")
    down[0] = False
    wait_delivered(alice, ids[-1])
    results = alice.items("send_result")
    assert [(r["id"], r["to"], r["code"]) for r in results] == [(poison, pat.address, code)]
    assert status_of(alice, poison) == "failed"
    assert [status_of(alice, i) for i in ids if i != poison] == ["delivered"] * 19
    assert pat.texts() == [b"%d" % i for i in range(20) if i != 11]


def test_peer_keeps_what_the_node_has_not_answered(peer, node, alice, pat):
    bundles = peer.claim(pat.address, alice.address)
    pat.send(alice.address, b"kept", bundles)
    node.stop()
    with pytest.raises(TryLater):
        peer.deliver("a.test")
    node.start()
    peer.deliver("a.test")
    assert alice.texts() == [b"kept"] and not pat.user.results


# Limits that documents name


def test_node_obeys_the_limits_of_the_peers_document(peer, alice, pat):
    bundles = alice.client.claim(pat.address)
    wait_delivered(alice, alice.send(pat.address, b"warm", bundles))
    with LabPeer(peer.lab, f"small{next(_numbers)}.test") as small:
        peer.lab.names.apply()
        content = small.document
        small.document = lambda: content(limits={**LIMITS, "transaction_items": 3})
        sam = PeerPhone(small, "sam")
        bundles = alice.client.claim(sam.address)
        down = [True]
        seen = small.interfere(
            lambda request, honest: Reply(502, {}, b"") if down[0] else honest())
        ids = [alice.send(sam.address, b"%d" % i, bundles) for i in range(8)]
        wait_until(lambda: seen, "a try")
        down[0] = False
        wait_delivered(alice, ids[-1])
        assert sam.texts() == [b"%d" % i for i in range(8)]
        assert max(len(parse_json(r.body)["items"]) for r in seen) == 3


def test_item_that_no_transaction_can_hold_fails_alone(peer, alice, pat):
    bundles = peer.claim(pat.address, alice.address)
    large = peer.message(pat.address, 1, alice.address, seal_all(bundles, b"large"))
    large["envelopes"][0]["content"] = "A" * LIMITS["transaction_bytes"]
    pat.send(alice.address, b"before", bundles)
    peer.outbox("a.test").items.append(large)
    pat.send(alice.address, b"after", bundles)
    peer.deliver("a.test")
    assert [(r["id"], r["code"]) for r in pat.user.results] == [(large["id"], "too_large")]
    assert alice.texts() == [b"before", b"after"]
