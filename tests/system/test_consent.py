# SPDX-License-Identifier: MIT
"""Accounts as they are by default: strangers come as one small request, which waits until it
is accepted, forgotten or blocked. Everything on one node and across two."""

import os

import pytest

from client import ApiError, make_message
from lab import wait_until
from scenario import join, letter, post, two_nodes
from signal_client import b64

FIRST_CONTACT = 8 << 10


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with two_nodes(tmp_path_factory, accounts__strangers="request") as nodes:
        yield nodes


@pytest.fixture(params=["local", "remote"])
def bob(pair, signal, request):
    """On alice's node, or on the other."""
    return join(signal, pair[request.param == "remote"], "bob")


def fate(sender, message):
    """What becomes of a message in the end: taken, or the code of its refusal."""
    try:
        post(sender, message)
    except ApiError as refusal:
        return refusal.status, refusal.code
    wait_until(lambda: sender.client.message(message["id"])["status"] != "queued", "an end")
    info = sender.client.message(message["id"])
    return "taken" if info["status"] in ("stored", "delivered") else info["code"]


WAITING = (403, "REQUEST_WAITING"), "request_waiting"
TOO_LARGE = (413, "TOO_LARGE"), "too_large"
UNAVAILABLE = (404, "UNAVAILABLE"), "unavailable"


def say(sender, to, text="hello"):
    return fate(sender, letter(sender, to.address, text))


def items(phone, kind="envelope"):
    return [item for item in phone.client.mailbox()["items"] if item["kind"] == kind]


def test_a_first_signal_message_is_a_request_until_it_is_accepted(alice, bob):
    assert bob.client.account()["strangers"] == "request"
    first = alice.send(bob.address, b"do you know me?")
    wait_until(lambda: items(bob), "the request")
    request, = bob.client.consent()["requests"]
    assert request["address"] == alice.address
    assert say(alice, bob) in WAITING
    assert [item["id"] for item in items(bob)] == [first["id"]]
    bob.client.accept(alice.address)
    assert say(alice, bob) == say(alice, bob) == "taken"
    assert len(items(bob)) == 3
    assert bob.open(items(bob)[0]) == b"do you know me?"


def test_the_same_first_message_gets_the_same_answer(alice, bob):
    message = letter(alice, bob.address, "hello")
    first = post(alice, message)
    wait_until(lambda: items(bob), "the request")
    assert post(alice, message) == first
    assert len(items(bob)) == 1


def test_a_refused_message_says_why_on_a_socket(pair, alice, signal):
    bob = join(signal, pair[0], "bob")
    with alice.client.socket() as ws:
        results = ws.send([letter(alice, bob.address, text) for text in ("one", "two")])
    assert [result.get("code") for result in results] == [None, "REQUEST_WAITING"]
    assert results[1]["status_code"] == 403


def test_a_result_of_another_node_is_told(pair, alice, signal):
    bob = join(signal, pair[1], "bob")
    assert say(alice, bob) == "taken"
    message = letter(alice, bob.address, "again")
    assert fate(alice, message) == "request_waiting"
    result, = items(alice, "send_result")
    assert result == {"seq": result["seq"], "kind": "send_result", "id": message["id"],
                      "to": bob.address, "code": "request_waiting"}


def test_a_request_is_small(alice, bob):
    def of_size(size):
        listed = alice.client.device_list(bob.address)
        return make_message(bob.address, [
            {"device_id": device["device_id"], "registration_id": device["registration_id"],
             "type": 3, "content": b64(os.urandom(size))} for device in listed["devices"]])

    assert fate(alice, of_size(FIRST_CONTACT + 1)) in TOO_LARGE
    assert bob.client.consent()["requests"] == []
    assert fate(alice, of_size(FIRST_CONTACT)) == "taken"
    bob.client.accept(alice.address)
    assert fate(alice, of_size(96 << 10)) == "taken"


def test_who_is_forgotten_may_ask_again_who_is_blocked_may_not(alice, bob):
    assert say(alice, bob) == "taken"
    bob.client.forget(alice.address)
    assert say(alice, bob) == "taken"
    assert say(alice, bob) in WAITING
    message = letter(alice, bob.address, "please")  # while its device list can be had
    bob.client.block(alice.address)
    assert fate(alice, message) in UNAVAILABLE
    assert bob.client.consent() == {"requests": [], "accepted": [], "blocked": [alice.address]}


def test_writing_back_accepts(alice, bob):
    assert say(alice, bob) == "taken"
    assert say(bob, alice) == "taken"  # alice has accepted bob by writing to him
    assert say(alice, bob) == "taken"


def test_an_account_may_choose(alice, bob):
    bob.client.change_account(strangers="accept")
    assert say(alice, bob) == say(alice, bob) == "taken"
    assert len(bob.client.consent()["requests"]) == 1
    with pytest.raises(ApiError) as refusal:
        bob.client.change_account(strangers="perhaps")
    assert refusal.value.details["field"] == "strangers"
    bob.client.change_account(strangers="refuse")
    with pytest.raises(ApiError) as refusal:
        alice.client.device_list(bob.address)
    assert refusal.value.code == "UNAVAILABLE"


def test_strangers_leave_one_time_keys_for_others(alice, bob):
    """Of 200 that a device may have waiting, the last 50 of a kind are for accepted ones."""
    bundle, = alice.client.claim(bob.address)["devices"]
    assert bundle["one_time_prekey"] is None
    bob.client.accept(alice.address)
    bundle, = alice.client.claim(bob.address)["devices"]
    assert bundle["one_time_prekey"] is not None
