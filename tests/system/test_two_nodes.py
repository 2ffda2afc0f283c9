# SPDX-License-Identifier: MIT
"""The main job: what a real Signal client seals for bob crosses two nodes and is opened by
both of his devices."""

from accounts import Phone
from lab import wait_until


def test_message_crosses_two_nodes_to_both_devices(nodes, signal):
    a, b = nodes
    alice = Phone(signal, a).register("alice")
    bob = Phone(signal, b, "phone").register("bob")
    tablet = Phone(signal, b, "tablet").link_to(bob)
    bob.client.accept("alice@a.test")

    with alice.client.socket() as at_alice, bob.client.socket() as at_bob, \
            tablet.client.socket() as at_tablet:
        answer = alice.send("bob@b.test", b"hello bob")
        assert (alice.client.status, answer["status"]) == (202, "queued")

        for phone, ws in (bob, at_bob), (tablet, at_tablet):
            item, = ws.envelopes()
            assert (item["from"], item["from_device"]) == ("alice@a.test", 1)
            assert item["id"] == answer["id"]
            assert phone.open(item) == b"hello bob"
            assert phone.client.mailbox()["items"] == [{"kind": "envelope", **item}]
            ws.ack(up_to=item["seq"])
            wait_until(lambda: not phone.client.mailbox()["items"], "an empty mailbox")

        taken = set()
        while taken != {1, 2}:
            receipt, = at_alice.receipts()
            assert (receipt["id"], receipt["from"]) == (answer["id"], "bob@b.test")
            taken |= set(receipt["devices"])

    status = alice.client.message(answer["id"])
    assert (status["status"], sorted(status["taken_by"])) == ("delivered", [1, 2])
