# SPDX-License-Identifier: MIT
"""End-to-end sealing for the demo, with libsodium (PyNaCl): the `ed25519` key scheme.

A message is a sealed box to one of the device's X25519 prekeys, so the node sees neither
the text nor who could open it. This is a demonstration of the relay, not a protocol to
copy: it has no forward secrecy beyond one-time keys and does not authenticate the sender.
Real clients bring a real protocol; the system tests use Signal's.
"""

import base64
import json
import random

from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.signing import SigningKey, VerifyKey

MESSAGE_TYPE = 1


def b64(data):
    return base64.b64encode(bytes(data)).decode()


class SealerDevice:
    """The secret keys of one device. `public` is the device object of the API."""

    def __init__(self, name, one_time_prekeys=5):
        self._identity = SigningKey.generate()
        self._prekeys = {}
        self.public = {
            "name": name,
            "registration_id": random.randint(1, 16383),
            "scheme": "ed25519",
            "identity_key": b64(self._identity.verify_key),
            "signed_prekey": self._new_prekey(1),
            "one_time_prekeys": [self._new_prekey(2 + i) for i in range(one_time_prekeys)],
        }
        for key in self.public["one_time_prekeys"]:
            del key["signature"]

    def _new_prekey(self, key_id):
        secret = self._prekeys[key_id] = PrivateKey.generate()
        public = bytes(secret.public_key)
        return {"id": key_id, "public_key": b64(public),
                "signature": b64(self._identity.sign(public).signature)}

    def sign(self, data):
        return self._identity.sign(data).signature

    def open(self, envelope):
        """The plaintext of an item of the mailbox."""
        content = json.loads(base64.b64decode(envelope["content"]))
        secret = self._prekeys[content["prekey"]]
        return SealedBox(secret).decrypt(base64.b64decode(content["box"]))


def seal(bundle, plaintext):
    """One envelope for one device of bundles. Refuses a prekey that its owner has not
    signed."""
    signed = bundle["signed_prekey"]
    identity = VerifyKey(base64.b64decode(bundle["identity_key"]))
    identity.verify(base64.b64decode(signed["public_key"]), base64.b64decode(signed["signature"]))
    prekey = bundle["one_time_prekey"] or signed
    box = SealedBox(PublicKey(base64.b64decode(prekey["public_key"]))).encrypt(plaintext)
    content = json.dumps({"prekey": prekey["id"], "box": b64(box)}).encode()
    return {"device_id": bundle["device_id"], "registration_id": bundle["registration_id"],
            "type": MESSAGE_TYPE, "content": b64(content)}
