# SPDX-License-Identifier: MIT
"""restante peer: what the operator sees of other nodes, and orders beside a running node and
without one."""

import base64
import re
import time

import pytest

from client import ApiError
from lab import wait_until
from scenario import OPTIONS, acquaint, join, letter, post
from test_operator import restante

PATIENT = {**OPTIONS, "federation__backoff_first": "1h", "federation__backoff_max": "1h"}


def peer(node, *words):
    """Exit status and output of `restante peer WORDS`."""
    return restante("peer", *words, "--config", node.config, node=node)


def order(node, *words):
    status, text = peer(node, *words)
    assert status == 0, text
    return text


def row_of(node, domain):
    """The line of `peer list`, by the words of its head."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in order(node, "list").splitlines()]
    return next((dict(zip(lines[0], line)) for line in lines[1:] if line[0] == domain), None)


def facts_of(node, domain):
    """What `peer show` prints, each fact as a list of its values."""
    facts = {}
    for line in order(node, "show", domain).splitlines():
        facts.setdefault(line[:12].strip(), []).append(line[13:])
    return facts


def texts_of(phone):
    """The envelopes of a mailbox, in order."""
    return [base64.b64decode(item["content"]).decode()
            for item in phone.client.mailbox()["items"] if item["kind"] == "envelope"]


def pair_of(lab, options=OPTIONS):
    nodes = lab.add_node("a.test", **options), lab.add_node("b.test", **options)
    lab.start()
    return nodes


def friends(signal, a, b):
    alice, bob = join(signal, a, "alice"), join(signal, b, "bob")
    acquaint(alice, bob)
    return alice, bob


def assert_denied(send):
    with pytest.raises(ApiError) as refused:
        send()
    assert (refused.value.status, refused.value.code) == (403, "FEDERATION_DENIED")


def is_denied(sender, message):
    """Of a message that has been sent already: nothing new comes of it."""
    try:
        post(sender, message)
    except ApiError as error:
        return error.code == "FEDERATION_DENIED"
    return False


def replace_all_keys(lab, node):
    """Stopped. As an operator does who has lost the data folder, or somebody else: nothing
    that was known signs for what is shown now."""
    (node.folder / "data/document.json").unlink()
    (node.folder / "root.key").unlink()
    other = lab.folder / "other"
    assert restante("init", "--domain", node.domain, "--dir", other)[0] == 0
    for name in "k1.key", "root.pub":
        (other / "data/keys" / name).rename(node.folder / "data/keys" / name)
    node.publish()
    lab.names.apply()


# What the operator sees


def test_list_and_show_of_a_pair(lab, signal):
    a, b = pair_of(lab)
    assert row_of(a, "b.test") is None
    alice, bob = friends(signal, a, b)
    post(alice, letter(alice, bob.address, "hello"))
    wait_until(lambda: texts_of(bob) == ["hello"], "the message")
    wait_until(lambda: row_of(a, "b.test")["WAITING"] == "0", "the settling")
    assert row_of(a, "b.test") == {
        "DOMAIN": "b.test", "STATE": "up", "WAITING": "0", "OLDEST": "-", "NEXT TRY": "-",
        "KEYS": "verified", "POLICY": "-"}
    # b has nothing for a.test yet, but it knows who has sent.
    assert row_of(b, "a.test")["STATE"] == "-"
    assert row_of(b, "a.test")["KEYS"] == "verified"
    facts = facts_of(a, "b.test")
    record = re.fullmatch(r"v=restante1; kid=k1; key=(\S+)", b.txt_records()[0])
    assert facts["key"] == [f"k1 {record[1]}"]
    assert facts["verified"] == ["yes, by DNS"]
    assert facts["sends here"] == ["no"] and facts_of(b, "a.test")["sends here"] == ["yes"]
    for time_of in "pinned", "document of", "until":
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts[time_of][0])


def two_wait(lab, signal):
    """a.test, where two messages wait for bob on b.test, which is down."""
    a, b = pair_of(lab, PATIENT)
    alice, bob = friends(signal, a, b)
    messages = [letter(alice, bob.address, text) for text in ("one", "two")]
    b.stop()
    for message in messages:
        post(alice, message)
    wait_until(lambda: row_of(a, "b.test")["STATE"] == "backoff", "the failure")
    return a, b, bob


def test_what_waits_is_shown(lab, signal):
    a, *_ = two_wait(lab, signal)
    row, facts = row_of(a, "b.test"), facts_of(a, "b.test")
    assert row["WAITING"] == "2" and re.fullmatch(r"\d+ s", row["OLDEST"])
    assert re.fullmatch(r"\d+ min", row["NEXT TRY"])
    assert facts["waiting"] == ["2"] and facts["failures"] == ["1 in a row"]


def test_unknown_domains_and_wrong_words(lab):
    a = lab.add_node("a.test", **OPTIONS)
    assert peer(a, "list")[0] == 1  # no database yet, and none is made
    assert not (a.folder / "data/restante.db").exists()
    lab.start()
    for words in ["show"], ["repin"], ["flush"]:
        status, text = peer(a, *words, "nowhere.test")
        assert status == 1 and "nothing is known of nowhere.test" in text
    assert peer(a, "block", "a.test") == (1, "restante: a.test is this node\n")
    for mistake in ["list", "b.test"], ["show"], ["block", "B.test"], ["block", "b.test", "c.test"]:
        assert peer(a, *mistake)[0] == 2


# Blocking


def test_a_block_holds_all_dealings_until_it_is_lifted(lab, signal):
    a, b = pair_of(lab)
    alice, bob = friends(signal, a, b)
    sent = letter(alice, bob.address, "before")
    held, late = letter(alice, bob.address, "held"), letter(alice, bob.address, "late")
    back = letter(bob, alice.address, "back")
    post(alice, sent)
    wait_until(lambda: texts_of(bob) == ["before"], "the message")

    b.pause()
    post(alice, held)
    order(a, "block", "b.test")
    wait_until(lambda: is_denied(alice, sent), "the block")
    b.resume()
    assert_denied(lambda: post(alice, late))
    assert_denied(lambda: alice.client.device_list(bob.address))
    refused = a.metric("restante_inbound_refused_total")
    post(bob, back)
    wait_until(lambda: a.metric("restante_inbound_refused_total") > refused, "the refusal")
    assert "origin=b.test code=FEDERATION_DENIED" in a.log_text()
    wait_until(lambda: re.search(r"event=delivery domain=a\.test .*status=403 .*"
                                 r"hint=FEDERATION_DENIED", b.log_text()), "what b is told")
    assert texts_of(alice) == []
    wait_until(lambda: row_of(a, "b.test")["STATE"] == "blocked", "the state")
    assert row_of(a, "b.test")["POLICY"] == "blocked"
    assert "event=peer_order domain=b.test order=block" in a.log_text()

    order(a, "allow", "b.test")
    wait_until(lambda: texts_of(alice) == ["back"], "what bob has sent", 20)
    post(alice, late)
    wait_until(lambda: "late" in texts_of(bob), "what alice sends")
    # What was under way when the block came may have arrived before it: but once.
    assert texts_of(bob) == ["before", "held", "late"]
    assert row_of(a, "b.test")["POLICY"] == "allowed"


def test_a_block_holds_what_waits(lab, signal):
    a, b = pair_of(lab)
    alice, bob = friends(signal, a, b)
    message = letter(alice, bob.address, "held")
    b.stop()
    post(alice, message)
    order(a, "block", "b.test")
    wait_until(lambda: row_of(a, "b.test")["STATE"] == "blocked", "the state")
    b.start()
    order(a, "flush", "b.test")
    wait_until(lambda: "order=flush" in a.log_text(), "the order")
    time.sleep(1)
    assert texts_of(bob) == []
    order(a, "allow", "b.test")
    wait_until(lambda: texts_of(bob) == ["held"], "the message")


def test_words_outlive_the_node_and_reach_it_while_it_is_down(lab, signal):
    a, b = pair_of(lab)
    alice, bob = friends(signal, a, b)
    there, back = letter(alice, bob.address, "there"), letter(bob, alice.address, "back")
    a.stop()
    order(a, "block", "b.test")
    a.start()
    assert_denied(lambda: post(alice, there))
    post(bob, back)
    wait_until(lambda: "origin=b.test code=FEDERATION_DENIED" in a.log_text(), "the refusal")
    a.kill()
    a.start()
    assert_denied(lambda: post(alice, there))
    a.stop()
    order(a, "allow", "b.test")
    a.start()
    post(alice, there)
    wait_until(lambda: texts_of(bob) == ["there"], "alice's message")
    wait_until(lambda: texts_of(alice) == ["back"], "bob's message", 20)


def test_allow_lets_a_domain_into_an_allowlist(lab, signal):
    a, b = lab.add_node("a.test", **OPTIONS, federation__mode="allowlist"), \
        lab.add_node("b.test", **OPTIONS)
    lab.start()
    alice, bob = join(signal, a, "alice"), join(signal, b, "bob")
    assert_denied(lambda: alice.client.device_list(bob.address))
    assert "configuration" not in order(a, "allow", "b.test")
    wait_until(lambda: "order=allow" in a.log_text(), "the order")
    assert alice.client.device_list(bob.address)["devices"]
    a.set({"federation.deny": "b.test"})
    assert "the configuration denies it" in order(a, "allow", "b.test")
    assert row_of(a, "b.test")["POLICY"] == "denied"


# Keys


@pytest.mark.parametrize("running", [True, False])
def test_a_repin_ends_a_conflict(lab, signal, running):
    a, b = pair_of(lab)
    alice, bob = friends(signal, a, b)
    sent = [letter(alice, bob.address, text) for text in ("before", "one", "two", "three")]
    back = letter(bob, alice.address, "back")
    post(alice, sent[0])
    wait_until(lambda: texts_of(bob) == ["before"], "the message")
    for node in a, b:
        node.stop()
    former, = b.txt_records()
    replace_all_keys(lab, b)
    b.start()
    a.start()
    for message in sent[1:3]:
        post(alice, message)
    post(bob, back)
    wait_until(lambda: row_of(a, "b.test")["STATE"] == "key_conflict", "the conflict")
    wait_until(lambda: "origin=b.test code=KEY_CONFLICT" in a.log_text() or
               "origin=b.test code=SIGNATURE_INVALID" in a.log_text(), "the refusal")
    assert row_of(a, "b.test")["KEYS"] == "conflict"
    facts = facts_of(a, "b.test")
    assert facts["conflict"] == ["it shows keys that are not trusted"]
    pinned, shown = former.split("key=")[1], b.txt_records()[0].split("key=")[1]
    assert facts["key"] == [f"k1 {pinned}"] and facts["shown key"] == [f"k1 {shown}"]
    assert texts_of(bob) == ["before"] and texts_of(alice) == []

    if not running:
        a.stop()
    order(a, "repin", "b.test")
    if not running:
        a.start()
    post(alice, sent[3])
    wait_until(lambda: len(texts_of(bob)) == 4, "the messages")
    assert texts_of(bob) == ["before", "one", "two", "three"]
    wait_until(lambda: texts_of(alice) == ["back"], "bob's message", 20)
    assert row_of(a, "b.test")["KEYS"] == "verified"
    facts = facts_of(a, "b.test")
    assert facts["key"] == [f"k1 {shown}"] and "shown key" not in facts
    assert a.metric("restante_key_conflicts_total") == (1 if running else 0)


# Trying now


def test_a_flush_sends_at_once_what_would_wait_long(lab, signal):
    a, b, bob = two_wait(lab, signal)
    order(a, "flush", "b.test")  # in vain: a try like any other
    wait_until(lambda: facts_of(a, "b.test")["failures"] == ["2 in a row"], "the second failure")
    b.start()
    time.sleep(1.5)
    assert texts_of(bob) == []
    order(a, "flush", "b.test")
    wait_until(lambda: texts_of(bob) == ["one", "two"], "the messages")
    assert row_of(a, "b.test")["STATE"] == "up"


def test_a_flush_while_the_node_is_down_is_for_its_start(lab, signal):
    a, b = pair_of(lab, PATIENT)
    alice, bob = friends(signal, a, b)
    message = letter(alice, bob.address, "hello")
    b.stop()
    post(alice, message)
    wait_until(lambda: row_of(a, "b.test")["STATE"] == "backoff", "the failure")
    a.stop()
    b.start()
    a.start()
    time.sleep(1.5)
    assert texts_of(bob) == []
    a.stop()
    order(a, "flush", "b.test")
    a.start()
    wait_until(lambda: texts_of(bob) == ["hello"], "the message")


def test_orders_are_not_carried_out_again_by_a_start(lab, signal):
    a, b = pair_of(lab)
    friends(signal, a, b)
    order(a, "block", "b.test")
    order(a, "allow", "b.test")
    wait_until(lambda: a.log_text().count("event=peer_order") == 2, "the orders")
    a.restart()
    time.sleep(1.5)
    assert a.log_text().count("event=peer_order") == 2
    assert a.count("peer_order") == 2
