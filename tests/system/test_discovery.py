# SPDX-License-Identifier: MIT
"""Finding other nodes where DNS and web servers are broken, slow or hostile (docs/protocol.md,
section 4.2). The name server is tests/lib/names.py; the domains are Python peers. Each has an
SRV record and an address of its own besides, where a listener counts: whoever falls through
from a failing SRV question to the domain itself comes there."""

import socket
import time
from contextlib import ExitStack

import pytest

from domains import (CONFLICT, OK, OPTIONS, UNREACHABLE, BlackHole, Domain, Listener, at_once,
                     loopback, new_name, new_phone, post, try_claim, txt_record, wait_arrived)
from lab import ADDRESS, Lab, free_port
from names import (A, AAAA, SRV, TXT, ScriptedNames, alias_loop, always_truncated, cut_off,
                   forged, garbage, honest, large_over_udp, nodata, nxdomain, only_tcp,
                   pointer_loop, refused, servfail, service_of, silent, text_of, too_many_aliases,
                   truncated, without_edns)

from discovery import ServerKey, sign_document
from wire import DAY, HOUR, Reply, TryLater, dump_json, now_ms

BACKOFF_FIRST_S = 0.1  # of OPTIONS

FAILED = (502, 504)


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Lab(folder=tmp_path_factory.mktemp("discovery") / "lab", keep=True,
             names=ScriptedNames) as lab:
        node = lab.add_node("a.test", **OPTIONS)
        lab.start()
        yield node


@pytest.fixture(scope="module")
def names(node):
    return node.lab.names


@pytest.fixture(scope="module")
def alice(node):
    return new_phone(node)


@pytest.fixture(scope="module")
def trap():
    with Listener(loopback(), 443) as trap:
        yield trap
        assert trap.connections == 0


@pytest.fixture
def domain(node, trap):
    with Domain(node.lab, trap) as domain:
        yield domain


# The ways to a domain


def test_second_priority_when_the_first_is_dead(domain, names, alice):
    names.services[domain.domain] = [(20, 0, domain.port, domain.host),
                                     (10, 0, free_port(), domain.host)]
    assert try_claim(alice, domain.pat.address) == OK


def test_target_without_an_address_next_to_a_good_one(domain, names, alice):
    names.services[domain.domain] = [(10, 0, 443, "nowhere.test"),
                                     (20, 0, domain.port, domain.host)]
    assert try_claim(alice, domain.pat.address) == OK


def test_single_dot_does_not_federate(domain, names, alice):
    names.services[domain.domain] = [(0, 0, 0, "")]
    assert try_claim(alice, domain.pat.address) == UNREACHABLE
    assert names.asked(domain.domain, A) == 0
    assert domain.fetches == 0


@pytest.mark.parametrize("behaviour", [nxdomain, nodata])
def test_without_srv_the_domain_itself_at_port_443(node, names, alice, behaviour):
    address = loopback()
    with Domain(node.lab, address=address, port=443) as domain:
        names.addresses[domain.domain] = [address]
        names.script(service_of(domain.domain), behaviour)
        assert try_claim(alice, domain.pat.address) == OK


@pytest.mark.parametrize("addresses", [["::1", ADDRESS], [ADDRESS, "::1"]])
def test_other_family_when_one_does_not_work(domain, names, alice, addresses):
    names.addresses[domain.host] = addresses  # nobody listens at ::1
    assert try_claim(alice, domain.pat.address) == OK


def test_answers_over_tcp_when_they_are_too_large_for_udp(domain, names, alice):
    names.texts[domain.domain] = domain.txt_records() + ["x" * 900 for _ in range(30)]
    for name in service_of(domain.domain), text_of(domain.domain), domain.host:
        names.script(name, only_tcp)
    assert try_claim(alice, domain.pat.address) == OK


def test_next_name_server_when_the_first_is_dead(domain, node, names):
    servers = f"{ADDRESS}:{free_port()},{ADDRESS}:{names.port}"
    other = node.lab.add_node("two.test", federation__dns_servers=servers, **OPTIONS)
    other.start()
    assert try_claim(new_phone(other), domain.pat.address) == OK
    other.stop()


def test_name_server_that_does_not_know_edns(node, names, trap, alice):
    for _ in range(2):  # not only the first time
        with Domain(node.lab, trap) as domain:
            for name in service_of(domain.domain), text_of(domain.domain), domain.host:
                names.script(name, without_edns)
            assert try_claim(alice, domain.pat.address) == OK


def test_aliases_are_followed(domain, names, alice):
    service, host = service_of(domain.domain), new_name("host")
    elsewhere = new_name("hosting")
    names.aliases.update({service: "alias." + service, "alias." + service: service_of(elsewhere)})
    names.services[elsewhere] = [(0, 0, domain.port, host)]
    names.aliases[host] = domain.host
    assert try_claim(alice, domain.pat.address) == OK


def test_name_of_the_target_does_not_count_without_trusted_dnssec(node, names, trap, alice):
    with Domain(node.lab, trap, certificate_for="node.other.test") as domain:
        names.addresses["node.other.test"] = [ADDRESS]
        names.services[domain.domain] = [(0, 0, domain.port, "node.other.test")]
        names.authentic.add(service_of(domain.domain))
        assert try_claim(alice, domain.pat.address) == UNREACHABLE
        assert domain.fetches == 0


# Failures. All cases run at the same time, since each waits for something: a claim is refused and
# a message waits; then what was broken is mended, and the message arrives.

NAMES_FAIL = {"servfail": servfail, "refused": refused, "silence": silent, "cut off": cut_off,
              "pointer loop": pointer_loop, "alias loop": alias_loop,
              "too many aliases": too_many_aliases, "truncated over TCP": always_truncated,
              "truncated, TCP fails": truncated, "large over UDP": large_over_udp,
              "forged": forged, "garbage": garbage}
TCP_FAILS = ("truncated, TCP fails", "large over UDP")


def served(content, key):
    return Reply(200, {}, dump_json(sign_document(dump_json(content), {"k1": key.secret})))


def too_large(domain):
    return Reply(200, {}, dump_json(domain.served_document()) + b" " * 65536)


def redirect(domain):
    elsewhere = f"https://{domain.trap.address}/.well-known/restante"
    return Reply(302, {"Location": elsewhere}, b"")


def expired(domain):
    issued = now_ms() - 2 * DAY
    return served(domain.document(issued_at=issued, valid_until=issued + DAY), domain.keys[0])


def long_lived(domain):
    return served(domain.document(valid_until=now_ms() + 8 * DAY), domain.keys[0])


def not_yet_valid(domain):
    return served(domain.document(issued_at=now_ms() + HOUR), domain.keys[0])


def hang_up(domain):
    raise ConnectionResetError


def too_slow(domain):
    time.sleep(12)
    return too_large(domain)


DOCUMENT_FAILS = {
    "too large": too_large, "redirect": redirect, "expired": expired,
    "valid for too long": long_lived, "not valid yet": not_yet_valid, "hang up": hang_up,
    "too slow": too_slow, "not found": lambda _: Reply(404, {}, b"{}"),
    "out of order": lambda _: Reply(500, {}, b"{}"), "no document": lambda _: Reply(200, {}, b"{}"),
    "not JSON": lambda _: Reply(200, {}, b"<html>"),
    "of another domain": lambda d: served(d.document(server="other.test"), d.keys[0]),
    "signed by another": lambda d: served(d.document(), ServerKey("k1")),
}


class Failure:
    """One domain where something fails, once it has been through everything."""

    def __init__(self, node, alice, trap, stack):
        self.domain = stack.enter_context(Domain(node.lab, trap))
        self._alice = alice
        self._names = node.lab.names

    def spoil_names(self, name_of, behaviour):
        name = name_of(self.domain.domain)
        self._names.script(name, behaviour)
        self._mend = lambda: self._names.script(name, honest)

    def spoil_document(self, reply):
        self.domain.well_known = lambda _: reply(self.domain)
        self._mend = lambda: setattr(self.domain, "well_known", None)

    def silence_targets(self, stack):
        """Two that do not even refuse, before the one that works."""
        hole, domain = stack.enter_context(BlackHole()), self.domain
        ports = enumerate([hole.port, hole.port, domain.port])
        self._names.services[domain.domain] = [(i, 0, port, domain.host) for i, port in ports]
        self._mend = lambda: None

    def fail(self):
        post(self._alice, self.domain, b"waits")
        begin = time.monotonic()
        self.status, _ = try_claim(self._alice, self.domain.pat.address)
        self.seconds = time.monotonic() - begin
        self.fetches = self.domain.fetches
        self.asked_for_domain = self._names.asked(self.domain.domain)
        self._mend()

    def recover(self):
        self.texts = wait_arrived(self.domain)


@pytest.fixture(scope="module")
def failures(node, alice, trap):
    made = {}
    with ExitStack() as stack:
        for name, behaviour in NAMES_FAIL.items():
            made[name] = Failure(node, alice, trap, stack)
            made[name].spoil_names(service_of, behaviour)
        made["no TXT"] = Failure(node, alice, trap, stack)
        made["no TXT"].spoil_names(text_of, servfail)
        for name, reply in DOCUMENT_FAILS.items():
            made[name] = Failure(node, alice, trap, stack)
            made[name].spoil_document(reply)
        made["silent targets"] = Failure(node, alice, trap, stack)
        made["silent targets"].silence_targets(stack)
        # c-ares asks everything that is under way once more when a connection ends, so that
        # these would be felt by the others.
        for name in TCP_FAILS:
            made[name].fail()
        others = [case for name, case in made.items() if name not in TCP_FAILS]
        at_once(len(others), lambda i: others[i].fail())
        for case in made.values():
            case.recover()
        yield made


@pytest.mark.parametrize("name", NAMES_FAIL)
def test_failing_srv_never_falls_through_to_the_domain(failures, name):
    case = failures[name]
    assert case.status in FAILED and case.seconds < 9
    assert case.fetches == case.asked_for_domain == 0
    assert case.texts == [b"waits"]


def test_first_use_waits_for_txt(failures):
    case = failures["no TXT"]
    assert (case.status, case.texts) == (502, [b"waits"])


def test_targets_that_do_not_answer_cost_time_only_once(failures, alice):
    case = failures["silent targets"]
    assert case.texts == [b"waits"] and case.domain.fetches == 1
    begin = time.monotonic()
    assert try_claim(alice, case.domain.pat.address) == OK
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize("name", DOCUMENT_FAILS)
def test_unusable_document_is_not_used(failures, trap, name):
    case = failures[name]
    assert case.status in FAILED and case.seconds < 10
    assert case.fetches >= 1
    assert case.texts == [b"waits"]
    assert trap.connections == 0


# How often


def test_many_at_once_share_one_discovery(domain, names, alice):
    statuses = at_once(20, lambda _: try_claim(alice, domain.pat.address))
    assert statuses == [OK] * 20
    asked = [names.asked(service_of(domain.domain), SRV), names.asked(text_of(domain.domain), TXT),
             names.asked(domain.host, A), names.asked(domain.host, AAAA)]
    assert asked == [1, 1, 1, 1]
    assert domain.fetches == 1


def test_failing_domain_is_not_asked_for_every_message(domain, names, alice):
    names.script(service_of(domain.domain), servfail)
    began = time.monotonic()
    post(alice, domain, b"waits")  # the outbox tries again and again, too
    for _ in range(20):
        assert try_claim(alice, domain.pat.address) == UNREACHABLE
    # One discovery, two tries, and again when its time has come.
    discoveries = 1 + (time.monotonic() - began) / BACKOFF_FIRST_S
    assert names.asked(service_of(domain.domain)) <= 2 * discoveries


# Later


def test_last_good_document_is_used_until_it_expires(domain, node, names, alice):
    domain.document_life = 15_000
    assert try_claim(alice, domain.pat.address) == OK
    fetched = time.monotonic()
    names.script(service_of(domain.domain), servfail)
    node.restart()  # the cache is gone, the document in the store is left
    assert domain.claim(domain.pat.address, alice.address)["devices"]
    assert domain.fetches == 1
    time.sleep(max(0, fetched + 15.1 - time.monotonic()))
    with pytest.raises(TryLater, match="SIGNATURE_KEY_UNKNOWN"):
        domain.claim(domain.pat.address, alice.address)


def test_txt_is_looked_at_with_every_new_document(domain, node, alice):
    assert try_claim(alice, domain.pat.address) == OK
    domain.publish(texts=[txt_record(ServerKey("k1"))])
    node.restart()
    assert try_claim(alice, domain.pat.address) == OK
    assert f"domain={domain.domain} verdict=same_txt_differs" in node.log_text()


def test_first_keys_that_txt_contradicts_are_held(domain, alice):
    domain.publish(texts=[txt_record(ServerKey("k1"))])
    assert try_claim(alice, domain.pat.address) == CONFLICT
    with pytest.raises(TryLater, match="KEY_CONFLICT"):
        domain.claim(domain.pat.address, alice.address)


# Addresses that are nobody's business

SPECIAL = ["127.0.0.1", "127.255.0.1", "0.0.0.0", "10.0.0.1", "100.64.0.1", "169.254.169.254",
           "172.16.0.1", "192.168.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::", "::1",
           "::127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fc00::1",
           "fe80::1", "ff02::1"]


def test_connections_to_private_addresses_are_not_made(node, names):
    with Listener("::", family=socket.AF_INET6) as listener:
        strict = node.lab.add_node("strict.test", federation__allow_private="false", **OPTIONS)
        strict.start()
        alice = new_phone(strict)
        for i, address in enumerate(SPECIAL):
            names.services[f"special{i}.test"] = [(0, 0, listener.port, f"node.special{i}.test")]
            names.addresses[f"node.special{i}.test"] = [address]
        statuses = at_once(len(SPECIAL), lambda i: try_claim(alice, f"pat@special{i}.test"))
        assert statuses == [UNREACHABLE] * len(SPECIAL)
        for i in range(len(SPECIAL)):
            assert f"domain=special{i}.test result=failed error=PEER_UNREACHABLE " \
                'reason="address is private or special"' in strict.log_text(), SPECIAL[i]
        assert listener.connections == 0
        strict.stop()
