# SPDX-License-Identifier: MIT
"""Devices that speak the real Signal protocol, by libsignal in a Node process.

    with SignalProcess() as signal:
        phone = signal.device("bob's phone")
        session = client.register("bob", phone.public)
        phone.bind(session["address"], session["device_id"])
"""

import base64
import itertools
import json
import os
import random
import subprocess
from pathlib import Path

from processes import die_with_parent

HERE = Path(__file__).parent


def b64(data):
    return base64.b64encode(data).decode()


class SignalError(Exception):
    """What libsignal refused, in its words."""


class SignalProcess:
    """The Node process; RESTANTE_NODE names its binary (default: node)."""

    def __init__(self):
        self._process = subprocess.Popen(
            [os.environ.get("RESTANTE_NODE", "node"), str(HERE / "signal_client.mjs")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE,
            preexec_fn=die_with_parent)
        self._count = itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, op, device, **arguments):
        request = {"op": op, "device": device, **arguments}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SignalError("the Node process ended")
        answer = json.loads(line)
        if "error" in answer:
            raise SignalError(answer["error"])
        return answer["result"]

    def device(self, name, one_time_prekeys=5, pq_prekeys=5, registration_id=None):
        return SignalDevice(self, f"{name}#{next(self._count)}", name, one_time_prekeys,
                            pq_prekeys, registration_id or random.randint(1, 16383))


class SignalDevice:
    """One device: its keys and its sessions. `public` is the device object of the API."""

    def __init__(self, process, handle, name, one_time_prekeys, pq_prekeys, registration_id):
        self._process = process
        self._handle = handle
        self.registration_id = registration_id
        self.address = None
        self.device_id = None
        self.public = self._call("new_device", registration_id=registration_id,
                                 one_time_prekeys=one_time_prekeys, pq_prekeys=pq_prekeys)
        self.public["name"] = name

    def _call(self, op, **arguments):
        return self._process.call(op, self._handle, **arguments)

    def bind(self, address, device_id):
        """Tells the device what its node has named it."""
        self._call("bind", address=address, device_id=device_id)
        self.address, self.device_id = address, device_id

    def more_prekeys(self, one_time_prekeys=0, pq_prekeys=0):
        """New one-time keys, as PUT keys takes them."""
        return self._call("more_prekeys", one_time_prekeys=one_time_prekeys,
                          pq_prekeys=pq_prekeys)

    def new_signed_prekey(self):
        return self._call("new_signed_prekey")

    def sign(self, data):
        return base64.b64decode(self._call("sign", bytes=b64(data)))

    def has_session(self, to, to_device):
        return self._call("has_session", to=to, to_device=to_device)

    def forget(self, to, to_device):
        self._call("forget", to=to, to_device=to_device)

    def encrypt(self, to, to_device, plaintext, bundle=None):
        """{type, content}; a bundle (one device of bundles) opens a new session."""
        return self._call("encrypt", to=to, to_device=to_device, plaintext=b64(plaintext),
                          bundle=bundle)

    def decrypt(self, envelope):
        """The plaintext of an item of the mailbox."""
        return base64.b64decode(self._call(
            "decrypt", **{"from": envelope["from"]}, from_device=envelope["from_device"],
            type=envelope["type"], content=envelope["content"]))

    def envelopes(self, bundles, plaintext):
        """One envelope for each device of `bundles`, as messages/send wants them."""
        sealed = []
        for device in bundles["devices"]:
            known = self.has_session(bundles["address"], device["device_id"])
            message = self.encrypt(bundles["address"], device["device_id"], plaintext,
                                   None if known else device)
            sealed.append({"device_id": device["device_id"],
                           "registration_id": device["registration_id"], **message})
        return sealed
