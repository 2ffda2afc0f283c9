# SPDX-License-Identifier: MIT
"""What DNSSEC decides (docs/protocol.md, section 4.3), with a signed zone and a resolver that
validates it (tests/lib/signed_names.py). Two nodes look at the same domains: a.test believes the
resolver (federation.dns_trusted), b.test does not. Documents are kept for minutes at least, so
the nodes are restarted to make them look again."""

import itertools
import sqlite3

import pytest

from domains import (CONFLICT, OK, OPTIONS, UNREACHABLE, Domain, new_name, new_phone, post,
                     try_claim, txt_record, wait_arrived)
from lab import Lab, wait_until
from names import service_of, text_of
from signed_names import SIGNED, SignedNames

from discovery import ServerKey
from wire import TryLater


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(folder=tmp_path_factory.mktemp("dnssec") / "lab", keep=True,
             names=SignedNames) as lab:
        lab.add_node("a.test", federation__dns_trusted="true", **OPTIONS)
        lab.add_node("b.test", **OPTIONS)
        lab.start()
        yield lab


@pytest.fixture(scope="module")
def alice(lab):
    """On the node that believes the resolver."""
    return new_phone(lab.nodes["a.test"])


@pytest.fixture(scope="module")
def bob(lab):
    """On the one that does not."""
    return new_phone(lab.nodes["b.test"])


@pytest.fixture
def signed(lab):
    with Domain(lab, name=new_name(zone=SIGNED)) as domain:
        lab.names.apply()
        yield domain


@pytest.fixture
def unsigned(lab):
    with Domain(lab) as domain:
        lab.names.apply()
        yield domain


def contradict(domain):
    """TXT names another key from now on."""
    domain.publish(texts=[txt_record(ServerKey("k1"))])
    domain.lab.names.apply()


def agree(domain):
    domain.publish()
    domain.lab.names.apply()


def verdict(phone, domain, name):
    return f"domain={domain.domain} verdict={name}" in phone.client.node.log_text()


def restart_with_outbox_due(node):
    """A conflict is looked at every 15 minutes; so that it is now."""
    node.stop()
    database = sqlite3.connect(node.folder / "data/restante.db")
    with database:
        database.execute("UPDATE destination SET next_try_ms = 0")
    database.close()
    node.start()


def forged_service(domain):
    return (service_of(domain.domain) + ".", "SRV"), f"0 0 {domain.port} elsewhere.test."


def forged_text(domain):
    return (text_of(domain.domain) + ".", "TXT"), f'"{txt_record(domain.keys[0])}; forged=1"'


# TXT


def test_matching_txt_verifies_the_first_keys(signed, alice):
    assert try_claim(alice, signed.pat.address) == OK
    assert verdict(alice, signed, "first_use verified=1")


def test_validated_txt_against_pinned_keys_is_a_conflict_until_it_agrees(signed, alice):
    node = alice.client.node
    assert try_claim(alice, signed.pat.address) == OK
    contradict(signed)
    node.restart()
    assert try_claim(alice, signed.pat.address) == CONFLICT
    with pytest.raises(TryLater, match="403.*KEY_CONFLICT"):
        signed.claim(signed.pat.address, alice.address)
    post(alice, signed, b"held")
    wait_until(lambda: f"domain={signed.domain} from=up to=key_conflict" in node.log_text(),
               "the outbox to be held")
    assert signed.pat.texts() == []

    agree(signed)
    restart_with_outbox_due(node)
    assert wait_arrived(signed) == [b"held"]
    assert try_claim(alice, signed.pat.address) == OK
    assert signed.claim(signed.pat.address, alice.address)["devices"]


def test_conflict_outlasts_dns_that_does_not_answer(lab, signed, alice):
    assert try_claim(alice, signed.pat.address) == OK
    contradict(signed)
    alice.client.node.restart()
    assert try_claim(alice, signed.pat.address) == CONFLICT
    lab.names.forged.update([forged_text(signed)])
    lab.names.apply()
    alice.client.node.restart()
    assert try_claim(alice, signed.pat.address) == CONFLICT


def test_txt_that_is_not_validated_only_warns(signed, unsigned, alice, bob):
    """Where the zone is not signed, and where the operator does not trust the resolver."""
    cases = (alice, unsigned), (bob, signed)
    for phone, domain in cases:
        assert try_claim(phone, domain.pat.address) == OK
    contradict(unsigned)
    contradict(signed)
    for phone, domain in cases:
        phone.client.node.restart()
        assert try_claim(phone, domain.pat.address) == OK
        assert verdict(phone, domain, "same_txt_differs")


# SRV


def test_name_of_a_validated_target_serves_as_tls_name(lab, alice, bob):
    other = f"node.{new_name()}"
    for zone, phone, outcome in ((SIGNED, alice, OK), (SIGNED, bob, UNREACHABLE),
                                 ("test", alice, UNREACHABLE)):
        with Domain(lab, name=new_name(zone=zone), certificate_for=other) as domain:
            lab.names.addresses[other] = ["127.0.0.1"]
            lab.names.services[domain.domain] = [(0, 0, domain.port, other)]
            lab.names.apply()
            assert try_claim(phone, domain.pat.address) == outcome


# Signatures that do not verify: the resolver answers SERVFAIL to everybody.


def test_bogus_answer_is_no_first_use(lab, alice, bob):
    with Domain(lab, name=new_name(zone=SIGNED)) as one, \
            Domain(lab, name=new_name(zone=SIGNED)) as other:
        lab.names.forged.update([forged_service(one), forged_text(other)])
        lab.names.apply()
        cases = list(itertools.product((alice, bob), (one, other)))
        for phone, domain in cases:
            assert try_claim(phone, domain.pat.address) == UNREACHABLE
            assert not verdict(phone, domain, "first_use")
        lab.names.forged.clear()
        lab.names.apply()
        for phone, domain in cases:
            wait_until(lambda: try_claim(phone, domain.pat.address) == OK, "the next try",
                       pause=0.2)


def test_bogus_txt_changes_nothing_for_pinned_keys(lab, signed, alice):
    assert try_claim(alice, signed.pat.address) == OK
    lab.names.forged.update([forged_text(signed)])
    lab.names.apply()
    alice.client.node.restart()
    assert try_claim(alice, signed.pat.address) == OK
