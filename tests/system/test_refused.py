# SPDX-License-Identifier: MIT
"""What a node refuses of other nodes, with the status and code that docs/protocol.md names, and
without storing anything. The other node is the independent peer (tests/peer); each test has one
of its own, under a domain of its own."""

import itertools
import re
import sqlite3
import time
from collections import namedtuple

import pytest

from client import ApiError
from lab import Authority, Lab, wait_until
from peer_fixtures import alice, pat, peer  # noqa: F401

from discovery import WELL_KNOWN, ServerKey, sign_document
from lab_peer import LabPeer, NodePhone, PeerPhone, seal_all
from nacl.signing import SigningKey
from peer import CLAIM, DEVICE_LIST, TRANSACTIONS
from wire import DAY, HOUR, Refusal, Reply, b64, content_digest, dump_json
from wire import new_message_id, now_ms, parse_json, random_text
from wire import request_components, signature_base

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(folder=tmp_path_factory.mktemp("refused") / "lab", keep=True) as lab:
        quick = {"limits__rate_scale": 1000, "federation__backoff_first": "100ms",
                 "federation__backoff_max": "300ms"}
        lab.add_node("a.test", federation__deny="evil.test,.worse.test", **quick)
        lab.add_node("list.test", federation__mode="allowlist",
                     federation__allow="good.test,.friend.test", **quick)
        lab.add_node("closed.test", federation__mode="closed", **quick)
        lab.add_node("strict.test", federation__allow_private="false", **quick)
        lab.add_node("limited.test")
        lab.start()
        yield lab


@pytest.fixture
def node(lab):
    return lab.nodes["a.test"]


Answer = namedtuple("Answer", "status code details signed headers body")


class Draft:
    """A good request, a transaction with one message unless told otherwise, which a test
    spoils before it is sent."""

    def __init__(self, peer, to, path=TRANSACTIONS, body=None, destination="a.test"):
        self.peer = peer
        self.path = path
        self.destination = destination
        self.address = to.address if to else None
        if body is None:
            bundle = {**to.keys.public, "device_id": 1, "one_time_prekey": None}
            item = peer.message(f"pat@{peer.domain}", 1, to.address,
                                seal_all({"devices": [bundle]}, b"hello"))
            body = {"stream": random_text(), "seq": 1, "items": [item]}
        self.body = body if isinstance(body, bytes) else dump_json(body)
        self.sign()

    def sign(self, destination=None, authority=None, path=None, age=0, key=None):
        """Anew, for what it is said to be."""
        self.headers, self.asked = self.peer.sign_request(
            destination or self.destination, authority or self.destination, path or self.path,
            self.body, created=now_ms() // 1000 - age, key=key)
        self.headers["Host"] = self.destination

    def sign_otherwise(self, components=lambda c: c, params=lambda p: p):
        """A valid signature, but of another form than the profile's."""
        parts = components(request_components(self.asked))
        names = " ".join(name for name, _ in parts)
        value = self.headers["Signature-Input"].partition("=")[2]
        value = params(f"({names})" + value[value.index(")") + 1:])
        signature = self.peer.keys[0].secret.sign(signature_base(parts, value)).signature
        self.headers["Signature-Input"] = f"restante={value}"
        self.headers["Signature"] = f"restante=:{b64(signature)}:"

    def send(self):
        status, headers, body = self.peer.post(self.destination, self.path, self.headers,
                                               self.body)
        remote = self.peer.find(self.destination)
        problem = self.peer.response_problem(remote, self.asked, status, headers, body)
        answer = parse_json(body)
        error = answer.get("error", {})
        assert status < 400 or answer["success"] is False
        return Answer(status, error.get("code"), error.get("details"), problem is None, headers,
                      answer)


def assert_refused(answer, status, code, signed):
    assert (answer.status, answer.code, answer.signed) == (status, code, signed)


def stored(node):
    return node.metric("restante_messages_received_total"), \
        node.metric("restante_transactions_received_total")


def assert_good_now(peer, alice):
    """Nothing has been stored, and it was not the peer or the message that was refused."""
    assert alice.items() == []
    answer = Draft(peer, alice).send()
    assert (answer.status, answer.body) == (200, {"acked": 1, "results": []}) and answer.signed
    assert alice.texts() == [b"hello"]


# Requests: section 4.4


def without(name):
    def spoil(draft):
        del draft.headers[name]
    return spoil


def header(name, change):
    def spoil(draft):
        draft.headers[name] = change(draft.headers[name])
    return spoil


def otherwise(**changes):
    return lambda draft: draft.sign_otherwise(**changes)


def params(old, new):
    """Replaces a part of the parameters, by a regular expression, and signs that."""
    def change(text):
        changed = re.sub(old, new, text)
        assert changed != text
        return changed
    return otherwise(params=change)


def altered_body(draft):
    draft.body = draft.body.replace(b'"urgent":true', b'"urgent":null')


def altered_body_and_digest(draft):
    altered_body(draft)
    draft.headers["Content-Digest"] = content_digest(draft.body)


def altered_destination(draft):
    draft.sign(destination="other.test")
    draft.headers["Restante-Destination"] = "a.test"


def altered_path(draft):
    draft.sign(path=CLAIM)


def query(draft):
    draft.path += "?a=b"


def second_label(draft):
    for name in "Signature-Input", "Signature":
        value = draft.headers[name]
        draft.headers[name] = f"{value}, {value.replace('restante=', 'second=', 1)}"


def other_label(draft):
    for name in "Signature-Input", "Signature":
        draft.headers[name] = draft.headers[name].replace("restante=", "other=", 1)


def another_secret(draft):
    draft.sign(key=ServerKey("k1"))


REQUESTS = {
    "unsigned: no input": (without("Signature-Input"), 401, "SIGNATURE_MISSING"),
    "unsigned: no signature": (without("Signature"), 401, "SIGNATURE_MISSING"),
    "no digest": (without("Content-Digest"), 401, "SIGNATURE_MISSING"),
    "no destination": (without("Restante-Destination"), 401, "SIGNATURE_MISSING"),
    "empty signature": (header("Signature", lambda _: ""), 401, "SIGNATURE_MISSING"),
    "no content type": (without("Content-Type"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "content type with a charset":
        (header("Content-Type", lambda v: f"{v}; charset=utf-8"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    "two labels": (second_label, 401, "SIGNATURE_FORMAT"),
    "another label": (other_label, 401, "SIGNATURE_FORMAT"),
    "two digests": (header("Content-Digest", lambda v: f"{v}, {v}"), 401, "SIGNATURE_FORMAT"),
    "digest by SHA-512":
        (header("Content-Digest", lambda v: v.replace("256", "512")), 401, "SIGNATURE_FORMAT"),
    "signature not in base64":
        (header("Signature", lambda v: v.replace("==", "")), 401, "SIGNATURE_FORMAT"),
    "components in another order":
        (otherwise(components=lambda c: [c[1], c[0], *c[2:]]), 401, "SIGNATURE_FORMAT"),
    "a component is missing":
        (otherwise(components=lambda c: c[:-1]), 401, "SIGNATURE_FORMAT"),
    "one component too many": (otherwise(components=lambda c: [*c, ('"date"', "today")]),
                               401, "SIGNATURE_FORMAT"),
    "a component twice": (otherwise(components=lambda c: [*c, c[0]]), 401, "SIGNATURE_FORMAT"),
    "no components": (otherwise(components=lambda c: []), 401, "SIGNATURE_FORMAT"),
    "parameter missing": (params(";alg=[^;]*", ""), 401, "SIGNATURE_FORMAT"),
    "parameter unknown": (params("$", ';more="1"'), 401, "SIGNATURE_FORMAT"),
    "parameter twice": (params("(;tag=[^;]*)", r"\1\1"), 401, "SIGNATURE_FORMAT"),
    "parameters in another order":
        (params("(;created=[^;]*)(;expires=[^;]*)", r"\2\1"), 401, "SIGNATURE_FORMAT"),
    "another algorithm": (params("ed25519", "rsa-pss-sha512"), 401, "SIGNATURE_FORMAT"),
    "tag of a response":
        (params("restante-1", "restante-1-response"), 401, "SIGNATURE_FORMAT"),
    "good for longer than 60 s":
        (params(r"expires=\d+", "expires=4000000000"), 401, "SIGNATURE_FORMAT"),
    "nonce too short": (params('nonce="..', 'nonce="'), 401, "SIGNATURE_FORMAT"),
    "key id without a domain": (params('keyid="[^/]*/', 'keyid="'), 401, "SIGNATURE_FORMAT"),
    "origin in upper case": (params('keyid="p', 'keyid="P'), 401, "SIGNATURE_FORMAT"),
    "a query": (query, 401, "SIGNATURE_FORMAT"),
    "signed for another destination":
        (lambda d: d.sign(destination="other.test"), 401, "SIGNATURE_DESTINATION"),
    "destination altered": (altered_destination, 401, "SIGNATURE_INVALID"),
    "signed for another authority":
        (lambda d: d.sign(authority="other.test"), 401, "SIGNATURE_INVALID"),
    "path altered": (altered_path, 401, "SIGNATURE_INVALID"),
    "body and digest altered": (altered_body_and_digest, 401, "SIGNATURE_INVALID"),
    "key that is not published": (another_secret, 401, "SIGNATURE_INVALID"),
    "unknown kid": (lambda d: d.sign(key=ServerKey("k9")), 401, "SIGNATURE_KEY_UNKNOWN"),
    "expired": (lambda d: d.sign(age=365), 401, "SIGNATURE_CLOCK"),
    "clock 10 minutes late": (lambda d: d.sign(age=600), 401, "SIGNATURE_CLOCK"),
    "clock 10 minutes early": (lambda d: d.sign(age=-600), 401, "SIGNATURE_CLOCK"),
    "in the node's own name": (params('keyid="[^/]*/', 'keyid="a.test/'),
                               403, "FEDERATION_DENIED"),
}


@pytest.mark.parametrize("spoil, status, code", REQUESTS.values(), ids=REQUESTS.keys())
def test_request_is_refused(node, peer, alice, spoil, status, code):
    before = stored(node)
    draft = Draft(peer, alice)
    spoil(draft)
    answer = draft.send()
    assert_refused(answer, status, code, signed=False)
    if code == "SIGNATURE_CLOCK":
        assert abs(answer.details["server_time"] - now_ms()) < 10_000
    assert stored(node) == before
    assert_good_now(peer, alice)


@pytest.mark.parametrize("age", [-295, 355])
def test_clock_within_five_minutes_is_fine(peer, alice, age):
    draft = Draft(peer, alice)
    draft.sign(age=age)
    assert draft.send().status == 200


def test_altered_body(node, peer, alice):
    """The request's signature verifies, so the answer is signed; it is still no verdict."""
    before = stored(node)
    draft = Draft(peer, alice)
    altered_body(draft)
    assert_refused(draft.send(), 401, "SIGNATURE_DIGEST", signed=True)
    assert stored(node) == before
    assert_good_now(peer, alice)


def test_replayed_nonce(node, peer, alice):
    draft = Draft(peer, alice)
    assert draft.send().status == 200
    before = stored(node)
    assert_refused(draft.send(), 401, "SIGNATURE_REPLAY", signed=True)
    assert stored(node) == before
    assert alice.texts() == [b"hello"]


@pytest.mark.parametrize("path", ["/federation/v1/", "/federation/v1/other", "/federation/v2/x"])
def test_unknown_path(peer, alice, path):
    assert_refused(Draft(peer, alice, path=path).send(), 404, "NOT_FOUND", signed=False)


# Origins and their keys: sections 4.1 to 4.3


def serve(make):
    """Serves what make(peer) answers instead of the document."""
    def spoil(peer):
        honest = peer.answer
        peer.answer = lambda request: make(peer) if request.path == WELL_KNOWN \
            else honest(request)
    return spoil


def document(signers=None, **changes):
    """Serves a document that is changed before it is signed."""
    def make(peer):
        values = {name: value(peer) if callable(value) else value
                  for name, value in changes.items()}
        content = peer.document(**{n: v for n, v in values.items() if v is not ...})
        for name in [n for n, v in values.items() if v is ...]:
            del content[name]
        own = {key.kid: key.secret for key in peer.keys}
        return Reply(200, {}, dump_json(sign_document(
            dump_json(content), {**own, **(signers(peer) if signers else {})})))
    return serve(make)


def doubled_member(peer):
    data = dump_json(peer.document())
    data = data[:-1] + b',"server":"other.test"}'
    return Reply(200, {}, dump_json(sign_document(data, {"k1": peer.keys[0].secret})))


def without_signature(peer):
    served = peer.served_document()
    return Reply(200, {}, dump_json({**served, "signatures": {}}))


def two_keys_one_signature(peer):
    keys = [peer.keys[0].published(), ServerKey("k2").published()]
    return Reply(200, {}, dump_json(sign_document(dump_json(peer.document(keys=keys)),
                                                  {"k1": peer.keys[0].secret})))


def key_members(**changes):
    return lambda peer: [{**peer.keys[0].published(), **changes}]


def no_federation(peer):
    peer.lab.names.services[peer.domain] = [(0, 0, 0, ".")]


def txt_of_another_key(peer):
    peer.publish(texts=[f"v=restante1; kid=k1; key={b64(bytes(SigningKey.generate().verify_key))}"])


def txt_of_another_kid(peer):
    peer.publish(texts=[record.replace("k1", "k2") for record in peer.txt_records()])


def txt_of_both(peer):
    other = ServerKey("k1")
    peer.publish(texts=[*peer.txt_records(), f"v=restante1; kid=k1; key={b64(other.public)}"])


UNKNOWN, CONFLICT = (401, "SIGNATURE_KEY_UNKNOWN"), (403, "KEY_CONFLICT")
INVALID, UNREACHABLE = (502, "PEER_INVALID"), (502, "PEER_UNREACHABLE")

ORIGINS = {
    "redirect": (serve(lambda p: Reply(302, {
        "Location": f"https://{p.domain}:{p.port}/elsewhere"}, b"")), UNKNOWN, INVALID),
    "redirect to itself": (serve(lambda p: Reply(308, {"Location": WELL_KNOWN}, b"")),
                           UNKNOWN, INVALID),
    "no document": (serve(lambda p: Reply(404, {}, b"{}")), UNKNOWN, INVALID),
    "document is not JSON": (serve(lambda p: Reply(200, {}, b"<html>")), UNKNOWN, INVALID),
    "oversized": (document(padding="x" * 65536), UNKNOWN, INVALID),
    "unsigned": (serve(without_signature), UNKNOWN, INVALID),
    "signed by another key": (document(signers=lambda p: {"k1": SigningKey.generate()}),
                              UNKNOWN, INVALID),
    "wrong signature of the root": (document(signers=lambda p: {"root": SigningKey.generate()}),
                                    UNKNOWN, INVALID),
    "a live key has not signed": (serve(two_keys_one_signature), UNKNOWN, INVALID),
    "expired": (document(issued_at=lambda _: now_ms() - DAY, valid_until=lambda _: now_ms() - 1),
                UNKNOWN, INVALID),
    "from the future": (document(issued_at=lambda _: now_ms() + 310_000), UNKNOWN, INVALID),
    "valid for more than 7 days": (document(valid_until=lambda _: now_ms() + 7 * DAY + HOUR),
                                   UNKNOWN, INVALID),
    "for another server": (document(server="other.test"), UNKNOWN, INVALID),
    "no key is live": (document(keys=key_members(not_after=1)), UNKNOWN, INVALID),
    "no keys": (document(keys=lambda _: []), UNKNOWN, INVALID),
    "nine keys": (document(keys=lambda p: [
        {**p.keys[0].published(), "kid": f"k{i}"} for i in range(1, 10)]), UNKNOWN, INVALID),
    "kid twice": (document(keys=lambda p: [p.keys[0].published()] * 2), UNKNOWN, INVALID),
    "kid root": (document(keys=lambda p: [*key_members()(p), {
        **ServerKey("root").published(), "public_key": b64(bytes(p.root.verify_key))}],
        signers=lambda p: {"root": p.root}), UNKNOWN, INVALID),
    "key of 31 bytes": (document(keys=key_members(public_key=b64(bytes(31)))), UNKNOWN, INVALID),
    "no revision": (document(revision=...), UNKNOWN, INVALID),
    "no federation": (document(federation=...), UNKNOWN, INVALID),
    "federation without TLS": (document(federation="http://p.test"), UNKNOWN, INVALID),
    "federation with a path": (document(federation="https://p.test/x"), UNKNOWN, INVALID),
    "a member twice": (serve(doubled_member), UNKNOWN, INVALID),
    "SRV says no": (no_federation, UNKNOWN, UNREACHABLE),
    "TXT has another key": (txt_of_another_key, CONFLICT, CONFLICT),
    "TXT has another kid": (txt_of_another_kid, CONFLICT, CONFLICT),
    "TXT has two keys of the kid": (txt_of_both, CONFLICT, CONFLICT),
}


class Counting:
    """Counts the requests that reach a peer."""

    def __init__(self, peer):
        self.seen = []
        answer = peer.answer

        def count(request):
            self.seen.append(request)
            return answer(request)

        peer.answer = count


def assert_unknown(node, peer, alice, inbound, outbound):
    before = stored(node)
    assert_refused(Draft(peer, alice, destination=node.domain).send(), *inbound, signed=False)
    with pytest.raises(ApiError) as refused:
        alice.client.claim(f"pat@{peer.domain}")
    assert (refused.value.status, refused.value.code) == outbound
    assert stored(node) == before
    assert alice.items() == []


@pytest.mark.parametrize("spoil, inbound, outbound", ORIGINS.values(), ids=ORIGINS.keys())
def test_origin_is_not_believed(lab, node, alice, spoil, inbound, outbound):
    with LabPeer(lab, f"p{next(_numbers)}.test") as peer:
        spoil(peer)
        lab.names.apply()
        assert_unknown(node, peer, alice, inbound, outbound)


def test_certificate_for_another_name(lab, node, alice):
    with LabPeer(lab, f"p{next(_numbers)}.test", certificate_for="other.test") as peer:
        lab.names.apply()
        assert_unknown(node, peer, alice, UNKNOWN, UNREACHABLE)


def test_certificate_of_another_authority(lab, node, alice, tmp_path):
    with LabPeer(lab, f"p{next(_numbers)}.test", issued_by=Authority(tmp_path / "ca")) as peer:
        lab.names.apply()
        assert_unknown(node, peer, alice, UNKNOWN, UNREACHABLE)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1",
                                     "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1", "fc00::1"])
def test_private_addresses_are_not_connected_to(lab, address):
    strict = lab.nodes["strict.test"]
    alice = NodePhone(strict, f"ann{next(_numbers)}")
    with LabPeer(lab, f"p{next(_numbers)}.test") as peer:
        lab.names.addresses[peer.domain] = [address]
        lab.names.apply()
        counting = Counting(peer)
        assert_unknown(strict, peer, alice, UNKNOWN, UNREACHABLE)
        assert counting.seen == []
    assert peer.domain in strict.log_text()


def test_discovery_failure_is_not_for_ever(lab, node, alice):
    """What is wrong is fixed: after the short time that failures are kept, it works."""
    with LabPeer(lab, f"p{next(_numbers)}.test") as peer:
        serve(lambda p: Reply(500, {}, b""))(peer)
        lab.names.apply()
        assert Draft(peer, alice).send().code == "SIGNATURE_KEY_UNKNOWN"
        del peer.answer
        wait_until(lambda: Draft(peer, alice).send().status == 200, "a new discovery", 15, 0.5)


# Keys that change


@pytest.fixture
def short(lab, alice):
    """A peer whose document is good for a second only, so that the node soon looks again. The
    node knows it already."""
    with LabPeer(lab, f"p{next(_numbers)}.test") as peer:
        peer.document_life = 1000
        lab.names.apply()
        assert Draft(peer, alice).send().status == 200
        alice.client.ack(up_to=alice.client.mailbox()["items"][-1]["seq"])
        yield peer


def let_document_expire():
    time.sleep(1.05)


def publish(peer):
    """Until the node looks again."""
    peer.publish()
    peer.lab.names.apply()
    let_document_expire()


def replace_key(peer, kid="k2"):
    """The peer has another key only, and another root."""
    old, peer.keys = peer.keys[0], [ServerKey(kid)]
    peer.root = SigningKey.generate()
    peer.revision = now_ms()
    peer.publish()
    peer.lab.names.apply()
    return old


@pytest.mark.parametrize("kid", ["k1", "k2"])
def test_new_keys_that_nobody_has_signed(node, alice, short, kid):
    pat = PeerPhone(short, "pat")
    bundles = alice.client.claim(pat.address)
    old = replace_key(short, kid)
    let_document_expire()
    before = stored(node)
    answer = Draft(short, alice).send()
    if kid == "k2":
        assert_refused(answer, 403, "KEY_CONFLICT", signed=False)
    else:  # the pinned key of that kid did not sign it
        assert_refused(answer, 401, "SIGNATURE_INVALID", signed=False)
    assert stored(node) == before and alice.items() == []

    seen = short.interfere(lambda request, honest: honest())
    message_id = alice.send(pat.address, b"held", bundles)
    with pytest.raises(ApiError) as refused:
        alice.client.claim(pat.address)
    assert (refused.value.status, refused.value.code) == (403, "KEY_CONFLICT")
    wait_until(lambda: f"domain={short.domain} from=up to=key_conflict" in node.log_text(),
               "the outbox to be held")
    assert alice.client.message(message_id)["status"] == "queued"
    assert seen == [] and pat.mailbox == []

    old_draft = Draft(short, alice)
    old_draft.sign(key=old)  # what the pinned key signs is still accepted
    assert old_draft.send().status == 200
    assert alice.texts() == [b"hello"]


def test_rotation_signed_by_the_old_key(node, alice, short):
    old = short.keys[0]
    short.keys = [ServerKey("k2"), old]
    short.revision = now_ms()
    publish(short)
    assert Draft(short, alice).send().status == 200
    draft = Draft(short, alice)
    draft.sign(key=old)
    assert draft.send().status == 200
    assert f"domain={short.domain} verdict=rotated " in node.log_text()
    # The old one is dropped from the document: no conflict, and good until its not_after.
    short.keys = short.keys[:1]
    short.revision = now_ms()
    publish(short)
    assert Draft(short, alice).send().status == 200
    draft.sign(key=old)
    assert draft.send().status == 200
    assert len(alice.items()) == 3


def test_rotation_signed_by_the_root_ends_the_old_key(node, alice, short):
    root = short.root
    old = replace_key(short)
    short.root = root
    short.served_document = lambda: sign_document(
        dump_json(short.document()), {"root": root, "k2": short.keys[0].secret})
    let_document_expire()
    assert Draft(short, alice).send().status == 200
    draft = Draft(short, alice)
    draft.sign(key=old)
    assert_refused(draft.send(), 401, "SIGNATURE_KEY_UNKNOWN", signed=False)
    assert f"domain={short.domain} verdict=rotated_by_root" in node.log_text()


def test_rotation_to_an_earlier_revision(alice, short):
    old = short.keys[0]
    short.keys = [ServerKey("k2"), old]
    short.revision -= 1
    publish(short)
    assert_refused(Draft(short, alice).send(), 403, "KEY_CONFLICT", signed=False)


def test_key_out_of_its_time(lab, alice):
    """Published, and live according to nobody: before and after its time."""
    with LabPeer(lab, f"p{next(_numbers)}.test") as peer:
        early = ServerKey("early", not_before=now_ms() + HOUR)
        late = ServerKey("late", not_after=now_ms() - 1)
        peer.keys += [early, late]
        lab.names.apply()
        for key in early, late:
            draft = Draft(peer, alice)
            draft.sign(key=key)
            assert_refused(draft.send(), 401, "SIGNATURE_KEY_UNKNOWN", signed=False)
        assert_good_now(peer, alice)


# Policy


@pytest.mark.parametrize("to, domain, allowed", [
    ("a.test", "evil.test", False), ("a.test", "worse.test", False),
    ("a.test", "sub.worse.test", False), ("a.test", "notworse.test", True),
    ("a.test", "sub.evil.test", True), ("list.test", "good.test", True),
    ("list.test", "x.friend.test", True), ("list.test", "other.test", False),
    ("list.test", "sub.good.test", False), ("closed.test", "good.test", False)])
def test_policy(lab, to, domain, allowed):
    node = lab.nodes[to]
    alice = NodePhone(node, f"ann{next(_numbers)}")
    with LabPeer(lab, domain) as peer:
        lab.names.apply()
        pat = PeerPhone(peer, "pat")
        counting = Counting(peer)
        answer = Draft(peer, alice, destination=to).send()
        if allowed:
            assert answer.status == 200
            assert len(alice.client.claim(pat.address)["devices"]) == 1
            return
        assert_refused(answer, 403, "FEDERATION_DENIED", signed=False)
        bundle = {**pat.keys.public, "device_id": 1, "one_time_prekey": None}
        for call in (lambda: alice.client.claim(pat.address),
                     lambda: alice.client.device_list(pat.address),
                     lambda: alice.send(pat.address, b"no", {"devices": [bundle],
                                                             "list_version": 0})):
            with pytest.raises(ApiError) as refused:
                call()
            assert (refused.value.status, refused.value.code) == (403, "FEDERATION_DENIED")
        assert counting.seen == [] and alice.items() == []


# Items that are not the origin's to say: section 4.5


def results_of(peer, *items):
    status, answer = peer.call("a.test", TRANSACTIONS, {
        "stream": random_text(), "seq": 1, "items": list(items)})
    assert (status, answer["acked"]) == (200, len(items))
    return [(result["seq"], result["code"]) for result in answer["results"]]


def good_message(peer, pat, alice, **changes):
    bundles = {"devices": [{**alice.keys.public, "device_id": 1, "one_time_prekey": None}]}
    item = peer.message(pat.address, 1, alice.address, seal_all(bundles, b"hello"))
    item.update(changes)
    return {name: value for name, value in item.items() if value is not ...}


def envelope_with(**changes):
    envelope = {"device_id": 1, "registration_id": 1, "type": 1, "content": "AAAA", **changes}
    return {"envelopes": [{n: v for n, v in envelope.items() if v is not ...}]}


LARGE = b64(bytes(96 * 1024 + 1))
BAD_MESSAGES = {
    "from another domain": {"from": "pat@elsewhere.test"},
    "from the node's own domain": {"from": "bob@a.test"},
    "from another domain, and too large":
        {"from": "pat@elsewhere.test", **envelope_with(content=LARGE)},
    "from below the origin": {"from": "pat@sub.p1.test"},
    "from nobody": {"from": ...},
    "from in upper case": {"from": "PAT@p1.test"},
    "no kind": {"kind": ...}, "unknown kind": {"kind": "news"}, "kind null": {"kind": None},
    "no id": {"id": ...}, "id of version 4": {"id": "e6c5b3c2-9f1d-4c0c-8d8e-6f5b1c7a9e10"},
    "no device": {"from_device": ...}, "device 0": {"from_device": 0},
    "device 128": {"from_device": 128}, "to nobody": {"to": "alice"},
    "no timestamp": {"timestamp": ...}, "timestamp a text": {"timestamp": "0"},
    "no expires_at": {"expires_at": ...}, "no token": {"token": ...}, "token empty": {"token": ""},
    "token of 129": {"token": "x" * 129}, "urgent a number": {"urgent": 1},
    "list_version negative": {"list_version": -1}, "no envelopes": {"envelopes": ...},
    "empty envelopes": {"envelopes": []}, "device twice": {"envelopes":
                                                           envelope_with()["envelopes"] * 2},
    "content not base64": envelope_with(content="A"), "content absent": envelope_with(content=...),
    "type 256": envelope_with(type=256), "registration_id 0": envelope_with(registration_id=0),
}


@pytest.mark.parametrize("changes", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
def test_bad_item_spoils_nothing_else(peer, alice, pat, changes):
    before, after = (good_message(peer, pat, alice) for _ in range(2))
    bad = good_message(peer, pat, alice, **changes)
    assert results_of(peer, before, bad, after) == [(2, "bad")]
    assert [item["id"] for item in alice.items()] == [before["id"], after["id"]]


def test_too_large_item(peer, alice, pat):
    large = good_message(peer, pat, alice, **envelope_with(content=LARGE))
    assert results_of(peer, large, {"kind": "void"}) == [(1, "too_large")]
    assert alice.items() == []


def test_absent_members_have_defaults(peer, alice, pat):
    item = good_message(peer, pat, alice, urgent=..., list_version=..., unknown={"a": 1})
    assert results_of(peer, item) == []
    assert alice.items()[0]["urgent"] is True


def test_receipts_for_what_was_never_sent(node, peer, alice, pat):
    """Only the token that the node gave to this message, sender and recipient counts."""
    bob = NodePhone(node, f"bob{next(_numbers)}")
    first = alice.send(pat.address, b"one")
    other = bob.send(pat.address, b"two")
    wait_until(lambda: len(pat.mailbox) == 2, "the messages")
    token = {item["id"]: item["token"] for item in pat.mailbox}

    def receipt(**changes):
        item = {"kind": "receipt", "id": first, "from": pat.address, "to": alice.address,
                "devices": [1], "timestamp": now_ms(), "token": token[first], **changes}
        return {name: value for name, value in item.items() if value is not ...}

    bad = [receipt(id=new_message_id()), receipt(id=other), receipt(to=bob.address),
           receipt(token=token[other]), receipt(token="x"), receipt(token=token[first] + "x"),
           receipt(token=...), receipt(**{"from": f"other@{peer.domain}"}),
           receipt(**{"from": "pat@elsewhere.test"}), receipt(devices=[]), receipt(devices=[0]),
           receipt(devices=[1, 1])]
    assert results_of(peer, *bad) == [(i, "bad") for i in range(1, len(bad) + 1)]
    assert alice.items("receipt") == bob.items("receipt") == []
    assert alice.client.message(first)["taken_by"] == []
    assert results_of(peer, receipt()) == []
    assert len(alice.items("receipt")) == 1


def test_devices_changed_of_another_domain(peer):
    assert results_of(peer, {"kind": "devices_changed", "address": "bob@a.test",
                             "list_version": 1}) == [(1, "bad")]


# Bodies


def body(**members):
    return lambda p: dump_json({"stream": random_text(), "seq": 1,
                                "items": [{"kind": "void"}], **members})


def raw(data):
    return lambda p: data


VOID = {"kind": "void"}
NESTED = b"[" * 16 + b"]" * 16
BODIES = {
    "empty object": raw(b"{}"), "an array": raw(b"[]"), "a number": raw(b"1"),
    "not JSON": raw(b'{"stream":'), "bytes after the object": raw(b"{} x"),
    "not UTF-8": raw(b'{"stream":"\xff"}'), "lone surrogate": raw(b'{"stream":"\\ud800"}'),
    "a member twice": raw(b'{"stream":"AAAAAAAAAAAAAAAAAAAAAA","seq":1,"seq":1,'
                          b'"items":[{"kind":"void"}]}'),
    "a member of an item twice": raw(b'{"stream":"AAAAAAAAAAAAAAAAAAAAAA","seq":1,'
                                     b'"items":[{"kind":"void","kind":"void"}]}'),
    "nested 17 deep": raw(b'{"a":' + NESTED + b"}"),
    "too many arrays": raw(b'{"a":[' + b"[]," * 20_000 + b"[]]}"),
    "1001 items": body(items=[VOID] * 1001), "no items": body(items=[]),
    "items null": body(items=None), "items an object": body(items={}),
    "item is no object": body(items=["void"]), "seq 0": body(seq=0), "seq negative": body(seq=-1),
    "seq a text": body(seq="1"), "seq a fraction": body(seq=1.5), "seq too large": body(seq=2**53),
    "stream short": body(stream="AAAA"), "stream not canonical": body(stream="A" * 21 + "B"),
    "stream null": body(stream=None), "ephemeral besides": body(ephemeral=[VOID]),
    "ephemeral null": body(ephemeral=None), "no ephemeral": raw(b'{"ephemeral":[]}'),
    "101 ephemeral": raw(dump_json({"ephemeral": [VOID] * 101})),
}


@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES.keys())
def test_body_is_refused(node, peer, make):
    before = stored(node)
    draft = Draft(peer, None, body=make(peer))
    assert_refused(draft.send(), 400, "VALIDATION_ERROR", signed=True)
    assert stored(node) == before


def test_thousand_items_are_fine(peer):
    draft = Draft(peer, None, body=body(items=[VOID] * 1000)(peer))
    assert draft.send().body == {"acked": 1000, "results": []}


def test_body_over_4_mib(node, peer):
    before = stored(node)
    draft = Draft(peer, None, body=b" " * ((4 << 20) + 1))
    assert_refused(draft.send(), 413, "TOO_LARGE", signed=False)
    assert stored(node) == before


# Claims and lists: section 4.7


@pytest.mark.parametrize("path", [CLAIM, DEVICE_LIST])
@pytest.mark.parametrize("requester, status, code", [
    ("pat@elsewhere.test", 403, "FORBIDDEN"), ("bob@a.test", 403, "FORBIDDEN"),
    ("pat", 400, "VALIDATION_ERROR"), (None, 400, "VALIDATION_ERROR")])
def test_requester_of_another_domain(peer, alice, path, requester, status, code):
    draft = Draft(peer, alice, path=path, body={"claim_id": "c", "requester": requester,
                                                "address": alice.address})
    assert_refused(draft.send(), status, code, signed=True)
    assert alice.client.key_stats()["one_time_prekeys"] == 5


def test_claim_id_for_another_request(node, peer, alice, pat):
    bob = NodePhone(node, f"bob{next(_numbers)}")
    alice.client.accept(pat.address)
    peer.claim(pat.address, alice.address, claim_id="mine")
    for requester, address, devices in ((pat.address, bob.address, None),
                                        (f"other@{peer.domain}", alice.address, None),
                                        (pat.address, alice.address, [1])):
        with pytest.raises(Refusal) as refused:
            peer.claim(requester, address, devices, claim_id="mine")
        assert (refused.value.status, refused.value.code) == (400, "VALIDATION_ERROR")
    assert alice.client.key_stats()["one_time_prekeys"] == 4
    assert bob.client.key_stats()["one_time_prekeys"] == 5


@pytest.mark.parametrize("changes", [
    {"claim_id": ""}, {"claim_id": "x" * 65}, {"claim_id": "a b"}, {"claim_id": None},
    {"claim_id": ...}, {"devices": []}, {"devices": [0]}, {"devices": [1, 1]},
    {"devices": "1"}, {"devices": None}, {"address": "alice"}, {"address": ...},
    {"address": "pat@elsewhere.test"}], ids=str)
def test_malformed_claim(peer, alice, pat, changes):
    members = {"claim_id": "c", "requester": pat.address, "address": alice.address, **changes}
    draft = Draft(peer, alice, path=CLAIM,
                  body={name: value for name, value in members.items() if value is not ...})
    answer = draft.send()
    assert answer.signed and (answer.status, answer.code) in ((400, "VALIDATION_ERROR"),
                                                              (404, "UNAVAILABLE"))
    assert (answer.status == 404) == (changes == {"address": "pat@elsewhere.test"})
    assert alice.client.key_stats()["one_time_prekeys"] == 5


# Rates


def test_unknown_origins_of_one_source(lab):
    node = lab.nodes["limited.test"]
    with LabPeer(lab, f"p{next(_numbers)}.test") as peer:
        lab.names.apply()
        known = Draft(peer, None, body=body()(peer), destination="limited.test")
        assert known.send().status == 200
        answers = []
        for i in range(25):
            draft = Draft(peer, None, body=body()(peer), destination="limited.test")
            draft.sign_otherwise(params=lambda p: p.replace(peer.domain, f"none{i}.test"))
            answers.append(draft.send())
        codes = [answer.code for answer in answers]
        assert codes[:15] == ["SIGNATURE_KEY_UNKNOWN"] * 15
        assert_refused(answers[-1], 429, "RATE_LIMITED", signed=False)
        assert int(answers[-1].headers["Retry-After"]) >= 1
        # Who is known already does not suffer.
        draft = Draft(peer, None, body=body()(peer), destination="limited.test")
        assert draft.send().status == 200
    assert node.metric("restante_rate_limited_total") > 0


def test_one_origin_too_often(lab):
    with LabPeer(lab, f"p{next(_numbers)}.test") as peer:
        lab.names.apply()
        wait_until(lambda: Draft(peer, None, body=body()(peer), destination="limited.test")
                   .send().status == 200, "a permit for an unknown origin", 10, 0.5)
        for _ in range(400):
            answer = Draft(peer, None, body=body()(peer), destination="limited.test").send()
            if answer.status != 200:
                break
        assert_refused(answer, 429, "RATE_LIMITED", signed=True)
        assert int(answer.headers["Retry-After"]) >= 1


def test_an_origin_known_for_a_week_may_ask_more_often(lab):
    node = lab.nodes["limited.test"]
    with LabPeer(lab, f"p{next(_numbers)}.test") as peer:
        lab.names.apply()

        def ask():
            return Draft(peer, None, body=body()(peer), destination=node.domain).send().status

        wait_until(lambda: ask() == 200, "a permit for an unknown origin", 10, 0.5)
        taken = list(itertools.takewhile(lambda status: status == 200,
                                         (ask() for _ in range(300))))
        assert 49 <= len(taken) < 300  # a slow machine gets some more meanwhile
        node.stop()
        with sqlite3.connect(node.folder / "data/restante.db") as database:
            trust, = database.execute("SELECT trust FROM peer WHERE domain = ?",
                                      (peer.domain,)).fetchone()
            kind, revision, pinned, rest = trust.split(b" ", 3)
            earlier = str(int(pinned) - 7 * DAY).encode()
            database.execute("UPDATE peer SET trust = ? WHERE domain = ?", (
                b" ".join([kind, revision, earlier, rest]), peer.domain))
        node.start()
        assert [ask() for _ in range(80)] == [200] * 80


def test_claims_of_one_user_at_one_recipient(lab):
    alice = NodePhone(lab.nodes["limited.test"], f"ann{next(_numbers)}")
    with LabPeer(lab, f"p{next(_numbers)}.test") as peer:
        lab.names.apply()
        wait_until(lambda: Draft(peer, None, body=body()(peer), destination="limited.test")
                   .send().status == 200, "a permit for an unknown origin", 10, 0.5)
        for _ in range(6):
            peer.claim(f"pat@{peer.domain}", alice.address)
        with pytest.raises(Refusal) as refused:
            peer.claim(f"pat@{peer.domain}", alice.address)
        assert (refused.value.status, refused.value.code) == (429, "RATE_LIMITED")
        assert peer.claim(f"other@{peer.domain}", alice.address)["devices"]
