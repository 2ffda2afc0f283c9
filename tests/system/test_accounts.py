# SPDX-License-Identifier: MIT
"""Accounts and their devices: ways in, ways out, and what others may learn of them."""

import json
import time
from base64 import b64decode

import pytest

from accounts import Phone
from client import ApiError, Client, make_message
from lab import Lab, wait_until
from scenario import OPTIONS, join, letter, letters, link, post, user
from signal_client import b64

ORIGIN = "https://chat.example.org"
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Lab(folder=tmp_path_factory.mktemp("lab"), keep=True) as lab:
        for domain, more in {
            "a.test": {"accounts__max_devices": 3, "listen__cors_origins": ORIGIN},
            "b.test": {},
            "invite.test": {"accounts__registration": "invite",
                            "accounts__refresh_token_life": "4s"},
            "closed.test": {"accounts__registration": "closed"},
        }.items():
            lab.add_node(domain, **{**OPTIONS, **more})
        lab.start()
        yield lab.nodes


@pytest.fixture
def node(world):
    return world["a.test"]


@pytest.fixture
def alice(node, signal):
    return join(signal, node, "alice", password=PASSWORD)


@pytest.fixture
def bob(node, signal):
    return join(signal, node, "bob")


def name_of(phone):
    return phone.address.split("@")[0]


def refused(call, *arguments, **more):
    """(status, code) of the refusal of a call."""
    with pytest.raises(ApiError) as error:
        call(*arguments, **more)
    return error.value.status, error.value.code


def answer(node, method, path, phone=None, body=None, **headers):
    """Everything that a client gets to see of an answer, but the time of day."""
    connection = node.lab.connection(node)
    if phone is not None:
        headers["Authorization"] = f"Bearer {phone.client.access_token}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, f"/api/v1/{path}", json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        fields = [(name, value) for name, value in response.getheaders() if name != "date"]
        return response.status, fields, response.read()
    finally:
        connection.close()


def login_by_signature(phone, text=None, nonce=None, **changed):
    """Logs the device in anew, with a signature over this text instead of the right one."""
    client = phone.client
    nonce = nonce or client.challenge()["nonce"]
    login = {"username": name_of(phone), "device_id": phone.device_id, **changed}
    if text is None:
        text = client.login_text(login["username"], login["device_id"], nonce)
    return Client(client.node).login_by_signature(
        login["username"], login["device_id"], nonce, b64(phone.signal.sign(text)))


def session_of(phone):
    """Its tokens as they are now."""
    client = Client(phone.client.node)
    client.access_token, client.refresh_token = (phone.client.access_token,
                                                 phone.client.refresh_token)
    return client


def assert_ended(client):
    assert refused(client.account) == (401, "UNAUTHORIZED")
    with client.socket() as ws:
        assert ws.wait_closed() == 4401
    assert refused(client.refresh) == (401, "UNAUTHORIZED")


def text(item):
    return b64decode(item["content"]).decode()


# Registration

def test_open_registration_takes_a_name_once(node, signal):
    name = user("carol")
    carol = Phone(signal, node).register(name)
    assert (carol.client.status, carol.device_id) == (201, 1)
    assert carol.client.account() == {
        "address": f"{name}@a.test", "strangers": "accept", "receipts": True,
        "list_version": carol.client.devices()["list_version"], "has_password": False}
    assert refused(Phone(signal, node).register, name) == (409, "USERNAME_TAKEN")
    assert refused(Phone(signal, node).register, "Carol") == (400, "VALIDATION_ERROR")
    assert refused(Phone(signal, node).register, user("carol"), password="short") == \
        (400, "VALIDATION_ERROR")


def test_registration_by_invite_takes_an_invite_once(world, signal):
    node = world["invite.test"]
    invite = node.operator("invite").strip()
    assert refused(Phone(signal, node).register, user("carol")) == (403, "INVITE_INVALID")
    assert refused(Phone(signal, node).register, user("carol"), invite="nonsense") == \
        (403, "INVITE_INVALID")
    carol = Phone(signal, node).register(user("carol"), invite=invite)
    assert refused(Phone(signal, node).register, user("carol"), invite=invite) == \
        (403, "INVITE_INVALID")
    # A refusal does not use it up; names cannot be tried out without one.
    invite = node.operator("invite").strip()
    assert refused(Phone(signal, node).register, name_of(carol), invite="nonsense") == \
        (403, "INVITE_INVALID")
    assert refused(Phone(signal, node).register, name_of(carol), invite=invite) == \
        (409, "USERNAME_TAKEN")
    Phone(signal, node).register(user("carol"), invite=invite)


def test_closed_registration_takes_nobody(world, signal):
    node = world["closed.test"]
    invite = node.operator("invite").strip()
    for more in {}, {"invite": invite}:
        assert refused(Phone(signal, node).register, user("carol"), **more) == \
            (403, "REGISTRATION_CLOSED")


def test_prekeys_need_the_identitys_signature(node, signal, alice):
    phone = Phone(signal, node)
    phone.signal.public["signed_prekey"]["signature"] = b64(phone.signal.sign(b"something"))
    assert refused(phone.register, user("carol")) == (422, "INVALID_SIGNATURE")
    key = alice.signal.new_signed_prekey()["signed_prekey"]
    key["signature"] = alice.signal.public["signed_prekey"]["signature"]
    assert refused(alice.client.upload_keys, signed_prekey=key) == (422, "INVALID_SIGNATURE")
    assert alice.client.key_stats()["signed_prekey_id"] == \
        alice.signal.public["signed_prekey"]["id"]


# Login

def test_login_by_password_and_what_fails_looks_the_same(node, alice, bob):
    client = Client(node)
    session = client.login(name_of(alice), 1, PASSWORD)
    assert (session["address"], session["device_id"]) == (alice.address, 1)
    client.account()
    failures = [answer(node, "POST", "auth/login", body={
        "username": name, "device_id": device_id, "password": password})
        for name, device_id, password in (
            (name_of(alice), 1, "wrong horse"), (name_of(alice), 2, PASSWORD),
            (name_of(bob), 1, PASSWORD), ("nobody", 1, PASSWORD))]
    assert failures[0][0] == 401 and b"LOGIN_FAILED" in failures[0][2]
    assert all(failure == failures[0] for failure in failures)


def test_login_by_the_devices_signature(bob):
    nonce = bob.client.challenge()["nonce"]
    session = login_by_signature(bob, nonce=nonce)
    assert (session["address"], session["device_id"]) == (bob.address, 1)
    # Once.
    assert refused(login_by_signature, bob, nonce=nonce) == (401, "LOGIN_FAILED")


def test_login_signature_is_for_one_domain_account_device_and_nonce(world, bob, alice, signal):
    link(signal, bob)
    nonce = bob.client.challenge()["nonce"]
    right = bob.client.login_text(name_of(bob), 1, nonce)
    for old, new in (b"a.test\0", b"b.test\0"), (b"@a.test", b"@b.test"), \
            (b"\0001\0", b"\0002\0"), (b"restante-login-1", b"restante-login-2"), (b"\0", b""):
        wrong = right.replace(old, new, 1)
        assert wrong != right
        assert refused(login_by_signature, bob, wrong, nonce) == (401, "LOGIN_FAILED")
    for changed in {"username": name_of(alice)}, {"device_id": 2}:
        assert refused(login_by_signature, bob, nonce=nonce, **changed) == (401, "LOGIN_FAILED")
    assert refused(login_by_signature, alice, right, nonce, username=name_of(bob)) == \
        (401, "LOGIN_FAILED")
    login_by_signature(bob, nonce=nonce)  # was good all the time
    foreign = Client(world["b.test"]).challenge()["nonce"]
    for nonce in foreign, foreign[:-4] + "AAAA", "AAAA":
        assert refused(login_by_signature, bob, nonce=nonce) == (401, "LOGIN_FAILED")


def test_signatures_of_logins_and_of_prekeys_are_never_good_for_each_other(bob):
    """A server must not get one by asking for the other with a nonce that is a prekey."""
    signed = bob.signal.public["signed_prekey"]
    fresh = bob.client.challenge()["nonce"]
    as_nonce = signed["public_key"].rstrip("=").replace("+", "-").replace("/", "_")
    for nonce in fresh, signed["public_key"], as_nonce:
        assert refused(Client(bob.client.node).login_by_signature, name_of(bob), 1, nonce,
                       signed["signature"]) == (401, "LOGIN_FAILED")
    # What a careless client might sign.
    for text in fresh.encode(), b64decode(fresh + "=" * (-len(fresh) % 4), "-_"):
        assert refused(login_by_signature, bob, text, fresh) == (401, "LOGIN_FAILED")
    # And what a careful one signs is no prekey, whatever the nonce was.
    prekey = bob.signal.new_signed_prekey()["signed_prekey"]
    prekey["signature"] = b64(bob.signal.sign(
        bob.client.login_text(name_of(bob), 1, prekey["public_key"])))
    assert refused(bob.client.upload_keys, signed_prekey=prekey) == (422, "INVALID_SIGNATURE")


# Sessions

def test_refresh_rotates_and_reuse_ends_every_session_of_the_device(bob, signal):
    tablet = link(signal, bob)
    stolen = session_of(bob)
    bob.client.refresh()
    assert bob.client.refresh_token != stolen.refresh_token
    assert bob.client.account()["address"] == bob.address
    with bob.client.socket() as ws, tablet.client.socket() as other:
        ws.wait_for("queue_empty")
        other.wait_for("queue_empty")
        assert refused(stolen.refresh) == (401, "UNAUTHORIZED")
        assert ws.wait_closed() == 4401
        other.ping()
    assert_ended(bob.client)
    assert_ended(stolen)
    tablet.client.refresh()
    login_by_signature(bob)


def test_stale_refresh_token_is_refused(world, signal, alice):
    client = Client(alice.client.node)
    for token in "nonsense", alice.client.access_token[:200]:
        with pytest.raises(ApiError, match="401 UNAUTHORIZED: The refresh token is not valid"):
            client.refresh(token)
    # There it lives for four seconds.
    node = world["invite.test"]
    carol = Phone(signal, node).register(user("carol"), invite=node.operator("invite").strip())
    carol.client.refresh()
    over = time.monotonic() + 4.1
    wait_until(lambda: time.monotonic() > over, "the token to expire")
    assert refused(carol.client.refresh) == (401, "UNAUTHORIZED")
    carol.client.account()  # the access token is of another life


def test_logout_ends_the_session_but_not_the_device(alice, bob):
    with alice.client.socket() as ws:
        ws.wait_for("queue_empty")
        alice.client.logout()
        assert ws.wait_closed() == 4401
    assert_ended(alice.client)
    post(bob, letter(bob, alice.address, "meanwhile"))
    alice.client.login(name_of(alice), 1, PASSWORD)
    item, = alice.client.mailbox()["items"]
    assert text(item) == "meanwhile"


def test_change_of_password_ends_the_other_sessions(node, alice, signal):
    tablet = link(signal, alice)
    token = alice.client.link_token()["token"]
    for wrong in None, "wrong horse":
        assert refused(alice.client.change_password, "battery staple", wrong)[1] in \
            ("LOGIN_FAILED", "VALIDATION_ERROR")
    with alice.client.socket() as own, tablet.client.socket() as other:
        own.wait_for("queue_empty")
        other.wait_for("queue_empty")
        alice.client.change_password("battery staple", PASSWORD)
        assert other.wait_closed() == 4401
        own.ping()
    assert_ended(tablet.client)
    alice.client.refresh()
    assert refused(Client(node).login, name_of(alice), 2, PASSWORD) == (401, "LOGIN_FAILED")
    assert refused(Phone(signal, node).client.link, token, signal.device("x").public) == \
        (403, "LINK_TOKEN_INVALID")
    tablet.client.login(name_of(alice), 2, "battery staple")


def test_first_password_needs_no_former(bob):
    bob.client.change_password(PASSWORD)
    assert bob.client.account()["has_password"]
    assert refused(bob.client.change_password, "battery staple") == (401, "LOGIN_FAILED")
    Client(bob.client.node).login(name_of(bob), 1, PASSWORD)


# Devices

def test_link_token_is_good_for_one_device(node, bob, signal):
    token = bob.client.link_token()["token"]
    first = signal.device("tablet").public
    session = Client(node).link(token, first)
    assert (session["address"], session["device_id"]) == (bob.address, 2)
    again = signal.device("laptop").public
    assert refused(Client(node).link, token, again) == (403, "LINK_TOKEN_INVALID")
    assert refused(Client(node).link, "nonsense", again) == (403, "LINK_TOKEN_INVALID")
    assert [device["device_id"] for device in bob.client.devices()["devices"]] == [1, 2]


def test_no_more_devices_than_allowed(node, bob, signal):
    for _ in range(2):
        link(signal, bob)
    token = bob.client.link_token()["token"]
    device = signal.device("one too many").public
    assert refused(Client(node).link, token, device) == (409, "DEVICE_LIMIT")
    bob.client.remove_device(2)
    assert Client(node).link(token, device)["device_id"] == 2  # the refusal has not used it up


def test_device_joins_by_password(node, alice, bob, signal):
    device = signal.device("tablet").public
    session = Client(node).link_by_password(name_of(alice), PASSWORD, device)
    assert (session["address"], session["device_id"]) == (alice.address, 2)
    for name in name_of(alice), name_of(bob), "nobody":
        assert refused(Client(node).link_by_password, name, "wrong horse", device) == \
            (401, "LOGIN_FAILED")


def test_devices_of_another_account_are_out_of_reach(alice, bob, signal):
    link(signal, bob, "tablet")
    for device_id in 2, 0, 128, "01", "x":
        assert refused(alice.client.remove_device, device_id) == (404, "NOT_FOUND")
        assert refused(alice.client.rename_device, device_id, "mine") == (404, "NOT_FOUND")
    devices = bob.client.devices()["devices"]
    assert [(d["device_id"], d["name"], d["current"]) for d in devices] == \
        [(1, bob.signal.public["name"], True), (2, "tablet", False)]
    bob.client.rename_device(2, "old tablet")
    assert bob.client.devices()["devices"][1]["name"] == "old tablet"


def test_removed_device_goes_with_all_it_had_and_its_id_begins_anew(node, alice, bob, signal):
    tablet = link(signal, bob)
    message = letter(alice, bob.address, "for the old tablet")
    post(alice, message)
    old = session_of(tablet)
    with tablet.client.socket() as ws:
        ws.envelopes()
        version = bob.client.remove_device(2)["list_version"]
        assert ws.wait_closed() == 4410
    assert_ended(tablet.client)
    assert refused(login_by_signature, tablet) == (401, "LOGIN_FAILED")
    for listed in alice.client.device_list(bob.address), alice.client.claim(bob.address):
        assert [device["device_id"] for device in listed["devices"]] == [1]
        assert listed["list_version"] == version

    successor = link(signal, bob)
    assert successor.device_id == 2
    assert successor.client.mailbox()["items"] == []
    assert_ended(old)
    assert refused(login_by_signature, tablet) == (401, "LOGIN_FAILED")
    device, = alice.client.claim(bob.address, devices=[2])["devices"]
    assert device["identity_key"] == successor.signal.public["identity_key"]
    # What was stored for the former is not delivered to its successor by a repeat either.
    post(alice, message)
    post(alice, letter(alice, bob.address, "for the new one"))
    assert [text(item) for item in successor.client.mailbox()["items"]] == ["for the new one"]


def test_deleted_account_leaves_only_its_name_taken(node, alice, bob, signal):
    tablet = link(signal, alice)
    token = alice.client.link_token()["token"]
    login = {"username": name_of(alice), "device_id": 1, "password": PASSWORD}
    missing = answer(node, "GET", "keys/devices/nobody@a.test", bob)
    bob.client.accept(alice.address)
    for wrong in None, "wrong horse":
        assert refused(alice.client.delete_account, wrong)[1] in ("LOGIN_FAILED",
                                                                   "VALIDATION_ERROR")
    with alice.client.socket() as ws, tablet.client.socket() as other:
        ws.wait_for("queue_empty")
        other.wait_for("queue_empty")
        alice.client.delete_account(PASSWORD)
        assert (ws.wait_closed(), other.wait_closed()) == (4410, 4410)
    for client in alice.client, tablet.client:
        assert_ended(client)
    assert answer(node, "GET", f"keys/devices/{alice.address}", bob) == missing
    assert answer(node, "POST", "auth/login", body=login) == \
        answer(node, "POST", "auth/login", body={**login, "username": "nobody"})
    device = signal.device("phone").public
    assert refused(Client(node).link, token, device) == (403, "LINK_TOKEN_INVALID")
    assert refused(Client(node).register, name_of(alice), device) == (409, "USERNAME_TAKEN")


# Consent

def closed(alice, bob):
    bob.client.change_account(strangers="refuse")


def blocked(alice, bob):
    bob.client.block(alice.address)


def blocked_after_accepted(alice, bob):
    bob.client.accept(alice.address)
    bob.client.block(alice.address)


def blocked_after_asking(alice, bob):
    bob.client.change_account(strangers="request")
    post(alice, letter(alice, bob.address, "do you know me?"))
    item, = wait_until(lambda: bob.client.mailbox()["items"], "the request")
    bob.client.ack(up_to=item["seq"])
    bob.client.block(alice.address)


CALLS = {
    "list": lambda address: ("GET", f"keys/devices/{address}"),
    "bundle": lambda address: ("GET", f"keys/bundle/{address}"),
    "claim": lambda address: ("POST", "keys/claim", {"claim_id": "1", "address": address}),
    "send": lambda address: ("POST", "messages/send", make_message(
        address, letters([{"device_id": 1, "registration_id": 1}], "hello"),
        id="019b76da-a800-7000-8000-0123456789ab")),
    "ephemeral": lambda address: ("POST", "messages/send", make_message(
        address, letters([{"device_id": 1, "registration_id": 1}], "hello"), ephemeral=True)),
}


def ask(phone, call, address):
    method, path, *body = CALLS[call](address)
    return answer(phone.client.node, method, path, phone, *body)


@pytest.mark.parametrize("why", [closed, blocked, blocked_after_accepted,
                                 blocked_after_asking])
def test_unavailable_says_not_why(alice, bob, why):
    why(alice, bob)
    for call in CALLS:
        missing = ask(alice, call, "nobody@a.test")
        assert missing[0] == 404 and b"UNAVAILABLE" in missing[2]
        assert ask(alice, call, bob.address) == missing, call
    assert bob.client.consent()["requests"] == []
    assert bob.client.mailbox()["items"] == []


@pytest.mark.parametrize("why", [closed, blocked])
def test_unavailable_says_not_why_across_nodes(world, alice, signal, why):
    bob = join(signal, world["b.test"], "bob")
    why(alice, bob)
    for call in "list", "bundle", "claim":
        missing = ask(alice, call, "nobody@b.test")
        assert missing[0] == 404 and b"UNAVAILABLE" in missing[2]
        assert ask(alice, call, bob.address) == missing, call
    sent = {}
    for address in bob.address, "nobody@b.test":
        message = make_message(address, letters([{"device_id": 1, "registration_id": 1}], "hi"))
        assert post(alice, message)["status"] == "queued"
        sent[message["id"]] = address
    results = wait_until(lambda: [item for item in alice.client.mailbox()["items"]]
                         if len(alice.client.mailbox()["items"]) == 2 else None, "both results")
    assert {item["id"]: item["to"] for item in results} == sent
    for item in results:
        assert item == {"seq": item["seq"], "kind": "send_result", "id": item["id"],
                        "to": item["to"], "code": "unavailable"}


def test_strangers_first_message_leaves_a_request(alice, bob):
    post(alice, letter(alice, bob.address, "do you know me?"))
    request, = bob.client.consent()["requests"]
    assert request["address"] == alice.address
    assert alice.client.consent()["accepted"] == [bob.address]  # by sending
    bob.client.accept(alice.address)
    assert bob.client.consent() == {"requests": [], "accepted": [alice.address], "blocked": []}
    closed(alice, bob)
    post(alice, letter(alice, bob.address, "accepted may write, closed or not"))
    bob.client.forget(alice.address)
    assert bob.client.consent() == {"requests": [], "accepted": [], "blocked": []}
    assert ask(alice, "list", bob.address)[0] == 404


def test_block_drops_the_request_and_ends_by_unblocking_or_accepting(alice, bob):
    post(alice, letter(alice, bob.address, "hello"))
    bob.client.block(alice.address)
    assert bob.client.consent() == {"requests": [], "accepted": [], "blocked": [alice.address]}
    assert ask(alice, "list", bob.address)[0] == 404
    # bob may write to whom he has blocked; the block stays.
    post(bob, letter(bob, alice.address, "leave me alone"))
    assert ask(alice, "list", bob.address)[0] == 404
    bob.client.unblock(alice.address)
    assert bob.client.consent()["blocked"] == []
    assert ask(alice, "list", bob.address)[0] == 200
    bob.client.block(alice.address)
    bob.client.accept(alice.address)
    assert bob.client.consent() == {"requests": [], "accepted": [alice.address], "blocked": []}


# Browsers

def test_pages_of_allowed_origins_may_call(world, node, alice):
    asks = {"Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization,content-type"}
    status, headers, body = answer(node, "OPTIONS", "keys", Origin=ORIGIN, **asks)
    allowed = dict(headers)
    assert (status, body) == (204, b"")
    assert allowed["access-control-allow-origin"] == ORIGIN
    assert "PUT" in allowed["access-control-allow-methods"].split(", ")
    assert {"authorization", "content-type"} <= \
        set(allowed["access-control-allow-headers"].lower().split(", "))

    for phone in alice, None:  # refusals as well, or a page could not read them
        headers = dict(answer(node, "GET", "account", phone, Origin=ORIGIN)[1])
        assert headers["access-control-allow-origin"] == ORIGIN
        assert "Origin" in headers["vary"]

    for asked, origin in ((node, "https://evil.example.org"), (world["b.test"], ORIGIN)):
        for method in "OPTIONS", "GET":
            _, headers, _ = answer(asked, method, "account", Origin=origin, **asks)
            assert not [name for name, _ in headers if name.startswith("access-control-")]
