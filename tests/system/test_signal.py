# SPDX-License-Identifier: MIT
"""Conversations of real Signal clients over two nodes: first messages, replies, order, keys
that run out, and devices that come, go and change."""

import http.client
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts import Phone
from client import ApiError, make_message
from lab import wait_until
from scenario import join, link, post, user


@pytest.fixture
def bob(pair, signal):
    return join(signal, pair[1], "bob")


def take(phone, count=1, kind="envelope"):
    """The next items of this kind, in order; they are acknowledged."""
    def arrived():
        found = [item for item in phone.client.mailbox()["items"] if item["kind"] == kind]
        return found if len(found) >= count else None

    items = wait_until(arrived, f"{count} {kind} for {phone.address}")[:count]
    phone.client.ack(seqs=[item["seq"] for item in items])
    return items


def read(phone, count=1):
    return [phone.open(item) for item in take(phone, count)]


def sealed(phone, bundles, plaintext):
    """A message in the sessions that these bundles open, or that are open already."""
    return make_message(bundles["address"], phone.signal.envelopes(bundles, plaintext),
                        list_version=bundles["list_version"])


def merge(bundles, more):
    """Bundles after devices have been claimed that were missing."""
    claimed = {device["device_id"] for device in more["devices"]}
    kept = [device for device in bundles["devices"] if device["device_id"] not in claimed]
    return {**more, "devices": kept + more["devices"]}


def without(bundles, gone, list_version):
    kept = [device for device in bundles["devices"] if device["device_id"] not in gone]
    return {**bundles, "devices": kept, "list_version": list_version}


def test_first_message_opens_sessions_with_both_devices_and_is_replied_to(alice, bob, signal):
    tablet = link(signal, bob)
    assert alice.send(bob.address, b"hello")["status"] == "queued"
    for phone in bob, tablet:
        item, = take(phone)
        assert item["type"] == 3  # a PreKeySignalMessage: PQXDH
        assert phone.open(item) == b"hello"

    for phone in bob, tablet:
        phone.send(alice.address, f"from {phone.device_id}".encode())
        item, = take(alice)
        assert (item["from"], item["from_device"]) == (bob.address, phone.device_id)
        assert item["type"] == 2  # the session is confirmed
        assert alice.open(item) == f"from {phone.device_id}".encode()

    alice.send(bob.address, b"again")
    for phone in bob, tablet:
        item, = take(phone)
        assert (item["type"], phone.open(item)) == (2, b"again")


def test_200_messages_both_ways_arrive_in_order_and_once(alice, bob):
    ends = (alice, bob), (bob, alice)
    bundles = {sender: sender.client.claim(to.address) for sender, to in ends}
    sockets = {phone: phone.client.socket() for phone in (alice, bob)}
    for first in range(0, 200, 20):
        sent = {}
        for sender, to in ends:
            messages = [sealed(sender, bundles[sender], b"%d" % number)
                        for number in range(first, first + 20)]
            sent[sender] = [message["id"] for message in messages]
            results = sockets[sender].send(messages)
            assert [(r["id"], r["status"]) for r in results] == \
                [(id, "queued") for id in sent[sender]]
        for sender, to in ends:
            items = sockets[to].envelopes(20)
            assert [item["id"] for item in items] == sent[sender]
            assert [to.open(item) for item in items] == \
                [b"%d" % number for number in range(first, first + 20)]
            sockets[to].ack(up_to=items[-1]["seq"])
    for ws in sockets.values():
        assert ws.nothing(kinds=("envelope",))
        ws.close()


def test_when_one_time_keys_run_out_the_last_resort_key_serves(alice, bob, pair, signal):
    bob.client.accept(alice.address)
    for _ in range(5):
        device, = alice.client.claim(bob.address)["devices"]
        assert device["one_time_prekey"] and device["pq_prekey"]
    stats = bob.client.key_stats()
    assert (stats["one_time_prekeys"], stats["pq_prekeys"]) == (0, 0)

    last_resort = bob.signal.public["pq_last_resort_prekey"]
    carol = join(signal, pair[0], "carol")
    for writer in alice, carol:
        bundles = writer.client.claim(bob.address)
        device, = bundles["devices"]
        assert device["one_time_prekey"] is None
        assert device["pq_prekey"] == last_resort
        post(writer, sealed(writer, bundles, b"with the last key"))
        assert read(bob) == [b"with the last key"]

    bob.client.upload_keys(**bob.signal.more_prekeys(2, 2))
    device, = alice.client.claim(bob.address)["devices"]
    assert device["one_time_prekey"] and device["pq_prekey"] != last_resort


def claim_until_answered(phone, address, claim_id):
    """The same claim again and again while a node is gone."""
    def answered():
        try:
            return phone.client.claim(address, claim_id)
        except ApiError as error:
            assert error.status in (502, 503, 504), error
        except (OSError, http.client.HTTPException):
            pass
        return None

    return wait_until(answered, "an answer to a claim", 20)


def test_one_time_keys_are_handed_out_once_whatever_happens(pair, signal):
    """Four claim at the same time, from here and from afar, and the node is killed."""
    b = pair[1]
    bob = Phone(signal, b, one_time_prekeys=80, pq_prekeys=80).register(user("bob"))
    claimers = [join(signal, node, "claimer") for node in pair for _ in range(2)]
    for phone in claimers:
        bob.client.accept(phone.address)
    with ThreadPoolExecutor(len(claimers)) as pool:
        work = [pool.submit(lambda phone=phone: [
            claim_until_answered(phone, bob.address, str(n)) for n in range(20)])
            for phone in claimers]
        wait_until(lambda: bob.client.key_stats()["one_time_prekeys"] < 60, "some claims")
        b.kill()
        b.start()
        answers = [run.result() for run in work]
    for kind in "one_time_prekey", "pq_prekey":
        keys = [bundles["devices"][0][kind]["id"] for run in answers for bundles in run]
        assert len(set(keys)) == 80
    # Asking again takes nothing more, and gives the same.
    assert bob.client.key_stats()["pq_prekeys"] == 0
    for phone, run in zip(claimers, answers):
        assert claim_until_answered(phone, bob.address, "7") == run[7]
    with pytest.raises(ApiError) as refused:
        claimers[-1].client.claim(bob.address, "7", devices=[1])
    assert (refused.value.status, refused.value.code) == (400, "VALIDATION_ERROR")


def test_device_linked_between_two_sends_gets_the_second(bob, pair, signal):
    """On one node: 409, the missing device is claimed, all is sealed anew."""
    carol = join(signal, pair[1], "carol")
    bundles = carol.client.claim(bob.address)
    post(carol, sealed(carol, bundles, b"one"))
    tablet = link(signal, bob)

    with pytest.raises(ApiError) as refused:
        post(carol, sealed(carol, bundles, b"two"))
    assert (refused.value.status, refused.value.code) == (409, "DEVICES_MISMATCH")
    details = refused.value.details
    assert (details["missing_devices"], details["extra_devices"]) == ([2], [])

    bundles = merge(bundles, carol.client.claim(bob.address, devices=details["missing_devices"]))
    assert bundles["list_version"] == details["list_version"]
    assert post(carol, sealed(carol, bundles, b"two"))["status"] == "stored"
    # What was sealed for the refused message is lost, as on a bad line.
    assert read(bob, 2) == [b"one", b"two"]
    assert read(tablet) == [b"two"]


def test_remote_node_refuses_a_list_that_is_out_of_date(alice, bob, signal):
    """alice's node has no newer list, so that only bob's can tell: send_result."""
    bundles = alice.client.claim(bob.address)
    post(alice, sealed(alice, bundles, b"one"))
    assert read(bob) == [b"one"]
    tablet = link(signal, bob)

    late = sealed(alice, bundles, b"two")
    assert post(alice, late)["status"] == "queued"
    result, = take(alice, kind="send_result")
    assert (result["id"], result["to"], result["code"]) == (late["id"], bob.address, "stale_list")
    status = alice.client.message(late["id"])
    assert (status["status"], status["code"]) == ("failed", "stale_list")
    assert bob.client.mailbox()["items"] == []

    # From now on alice's own node knows better.
    with pytest.raises(ApiError) as refused:
        post(alice, sealed(alice, bundles, b"two"))
    assert (refused.value.status, refused.value.details["missing_devices"]) == (409, [2])
    assert refused.value.details["list_version"] == result["list_version"]

    bundles = merge(bundles, alice.client.claim(bob.address, devices=[2]))
    assert post(alice, sealed(alice, bundles, b"two"))["status"] == "queued"
    assert read(bob) == [b"two"]
    assert read(tablet) == [b"two"]
    # The claim of one device has not made the node forget the other.
    assert post(alice, sealed(alice, bundles, b"three"))["status"] == "queued"
    assert (read(bob), read(tablet)) == ([b"three"], [b"three"])


def test_removed_device_has_to_be_left_out(alice, bob, pair, signal):
    carol = join(signal, pair[1], "carol")
    tablet = link(signal, bob)
    near, far = carol.client.claim(bob.address), alice.client.claim(bob.address)
    version = bob.client.remove_device(tablet.device_id)["list_version"]

    with pytest.raises(ApiError) as refused:
        post(carol, sealed(carol, near, b"near"))
    assert (refused.value.status, refused.value.code) == (409, "DEVICES_MISMATCH")
    details = refused.value.details
    assert (details["missing_devices"], details["extra_devices"]) == ([], [2])
    assert details["list_version"] == version
    post(carol, sealed(carol, without(near, [2], version), b"near"))
    assert read(bob) == [b"near"]

    post(alice, sealed(alice, far, b"far"))
    result, = take(alice, kind="send_result")
    assert (result["code"], result["list_version"]) == ("stale_list", version)
    post(alice, sealed(alice, without(far, [2], version), b"far"))
    assert read(bob) == [b"far"]


def test_device_with_new_keys_is_stale_until_its_session_is_new(alice, bob, pair, signal):
    """PUT keys with another identity and registration id: the device was set up anew."""
    carol = join(signal, pair[1], "carol")
    for writer in alice, carol:
        writer.send(bob.address, b"before")
    assert read(bob, 2) == [b"before"] * 2
    near, far = carol.client.claim(bob.address), alice.client.claim(bob.address)

    bob.signal = signal.device("new phone", registration_id=bob.signal.registration_id % 16383 + 1)
    bob.signal.bind(bob.address, 1)
    keys = {name: value for name, value in bob.signal.public.items() if name != "name"}
    stored = bob.client.upload_keys(**keys)
    assert (stored["one_time_prekeys"], stored["pq_prekeys"]) == (5, 5)

    with pytest.raises(ApiError) as refused:
        post(carol, sealed(carol, near, b"near"))
    assert (refused.value.status, refused.value.code) == (410, "STALE_DEVICES")
    assert refused.value.details["stale_devices"] == [1]
    post(alice, sealed(alice, far, b"far"))
    result, = take(alice, kind="send_result")
    assert (result["code"], result["list_version"]) == ("stale_list", stored["list_version"])

    for writer in alice, carol:
        writer.signal.forget(bob.address, 1)
        writer.send(bob.address, b"after")
        assert read(bob) == [b"after"]
