# SPDX-License-Identifier: MIT
"""`./dev run`: two nodes on this machine, and one message from alice on the one to bob's
two devices on the other. Prints each step; then serves until Ctrl-C, or ends there with
--once. The exit status is 0 only if the message really arrived, could be opened, was what
alice wrote, and alice was told so."""

import argparse
import signal
import sys
import threading

import client
import sealer
from lab import Lab, LabError, wait_until

TEXT = "Dear Bob, this crossed two nodes and neither of them could read it. Alice"


class DemoFailed(Exception):
    pass


def step(where, what):
    print(f"  {where:<8} {what}", flush=True)


def expect(good, what):
    if not good:
        raise DemoFailed(what)


def short(data, length=24):
    return data if len(data) <= length else f"{data[:length]}…"


def start_nodes(lab):
    step("lab", f"throwaway folder {lab.folder}: a certificate authority and a name server "
                f"(127.0.0.1 port {lab.names.port})")
    for domain in ("a.test", "b.test"):
        node = lab.add_node(domain, accounts__strangers="request")
        step(domain, "restante init: keys and configuration made")
        step("dns", f"SRV _restante._tcp.{domain} -> port {node.port}, "
                    f"TXT _restante.{domain} {short(lab.names.texts[domain][0], 36)}")
    lab.start()
    for node in lab.nodes.values():
        step(node.domain, f"serving at {node.url}, process {node.pid}, "
                          "its own database and keys")
    return lab.nodes["a.test"], lab.nodes["b.test"]


class Phone:
    """A device of this demo: its keys, its session and its socket."""

    def __init__(self, node, name):
        self.name = name
        self.keys = sealer.SealerDevice(name)
        self.client = client.Client(node)
        self.socket = None

    def register(self, username):
        session = self.client.register(username, self.keys.public)
        step(self.client.node.domain, f"{session['address']} registered with device "
                                      f"{session['device_id']} ({self.name})")

    def link_to(self, other):
        session = self.client.link(other.client.link_token()["token"], self.keys.public)
        step(self.client.node.domain, f"{session['address']} linked device "
                                      f"{session['device_id']} ({self.name}) by a one-time token")

    def connect(self):
        self.socket = self.client.socket()
        self.socket.wait_for("queue_empty")
        step(self.client.node.domain,
             f"{self.client.address} device {self.client.device_id} connected its WebSocket")

    def receive(self, message_id):
        """Takes the one message from the socket, opens it and acknowledges it."""
        item = self.socket.envelopes(1, timeout=30)[0]
        expect(item["id"] == message_id, f"{self.name} got message {item['id']}")
        text = self.keys.open(item).decode()
        expect(text == TEXT, f"{self.name} opened {text!r}")
        step(self.client.node.domain, f"device {self.client.device_id} ({self.name}) received it "
                                      f"over its WebSocket and opened it: \"{text}\"")
        self.socket.ack(up_to=item["seq"])
        wait_until(lambda: not self.client.mailbox()["items"], f"an empty mailbox of {self.name}")
        step(self.client.node.domain, f"device {self.client.device_id} acknowledged it: "
                                      "its mailbox is empty")


def send(alice, to):
    node = alice.client.node
    bundles = alice.client.claim(to)
    expect("domain=b.test verdict=first_use verified=1" in node.log_text(),
           f"a.test did not find b.test's keys in DNS, see {node.log}")
    step("a.test", "found b.test by SRV, fetched its signed document; the key there and the "
                   "one in TXT agree: pinned")
    step("a.test", f"asked b.test for {to}'s keys over signed HTTPS: "
                   f"{len(bundles['devices'])} devices")
    envelopes = [sealer.seal(device, TEXT.encode()) for device in bundles["devices"]]
    step("alice", f"sealed the message for each device with libsodium: "
                  f"{short(envelopes[0]['content'])}")
    answer = alice.client.send(to, envelopes, list_version=bundles["list_version"])
    step("a.test", f"took it: {answer['status']} (HTTP {alice.client.status}), "
                   f"message {answer['id']}")
    return answer["id"]


def answer_request(bob, address):
    """The first message of a stranger is a request, and alice may not send another one."""
    wait_until(lambda: bob.client.consent()["requests"], "alice's request")
    asked, = bob.client.consent()["requests"]
    expect(asked["address"] == address, f"a request of {asked['address']}")
    step("b.test", f"the first message of {address} waits as a request")
    bob.client.accept(address)
    step("b.test", f"bob accepts messages from {address}")


def wait_for_receipts(alice, message_id):
    """Both of bob's devices have the message, says bob's node."""
    devices = set()
    while devices != {1, 2}:
        receipt = alice.socket.receipts(1, timeout=30)[0]
        expect(receipt["id"] == message_id, f"receipt for {receipt['id']}")
        devices |= set(receipt["devices"])
        alice.socket.ack(up_to=receipt["seq"])
    step("a.test", f"alice has her delivery receipt: devices {sorted(devices)} of bob took it")


def play(a, b):
    alice, bob, tablet = Phone(a, "phone"), Phone(b, "phone"), Phone(b, "tablet")
    alice.register("alice")
    bob.register("bob")
    tablet.link_to(bob)
    for phone in (alice, bob, tablet):
        phone.connect()
    message_id = send(alice, bob.client.address)
    answer_request(bob, alice.client.address)
    bob.receive(message_id)
    tablet.receive(message_id)
    wait_for_receipts(alice, message_id)
    for phone in (alice, bob, tablet):
        phone.socket.close()


def print_urls(lab):
    print("\nTwo nodes are up. Their names and certificates exist only in this lab, so say "
          "where they are:\n")
    for node in lab.nodes.values():
        curl = (f"curl --cacert {lab.authority.certificate} "
                f"--resolve {node.domain}:{node.port}:127.0.0.1 {node.url}")
        print(f"  {node.domain}  {node.url}    log: {node.log}")
        print(f"          {curl}/readyz")
        print(f"          {curl}/.well-known/restante")
        print(f"          {curl}/metrics\n")


def wait_for_interrupt(lab):
    """Until Ctrl-C or SIGTERM, or until something of the lab ends by itself."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    print("Ctrl-C ends it.", flush=True)
    while not stop.wait(0.5):
        for node in lab.nodes.values():
            expect(node.running(), f"{node.domain} ended, see {node.log}")
    print("\nStopping.", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--once", action="store_true", help="end after the message")
    once = arguments.parse_args().once
    try:
        with Lab() as lab:
            a, b = start_nodes(lab)
            play(a, b)
            print("\nThe message arrived on both devices.", flush=True)
            if not once:
                print_urls(lab)
                wait_for_interrupt(lab)
    except (DemoFailed, LabError, client.ApiError, TimeoutError) as problem:
        print(f"\nThe demo failed: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
