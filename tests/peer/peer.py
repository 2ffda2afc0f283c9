# SPDX-License-Identifier: MIT
"""A second implementation of federation, written from docs/protocol.md alone.

Read this next to section 4 of that page when you write your own node: wire.py has values and
signatures, discovery.py documents, DNS and trust, and this file what a node does with them:
receiving, sending, answering. It shares no code with the C sources. It is a whole node towards
other nodes, but keeps everything in memory and has no client API: users and their devices are
Python objects. What a real node needs besides: a disk (streams, mailboxes, outbox, pins), rate
limits and DNSSEC.

    peer = Peer("peer.test", certificate, key, ca_file, dns_server, allow_private=True)
    peer.start()                          # serves at 127.0.0.1, peer.port
    peer.add_device("pat", device)        # a device object as in section 2.1
    bundles = peer.claim("pat@peer.test", "alice@a.test")
    peer.send("pat@peer.test", 1, "alice@a.test", envelopes)
    peer.deliver("a.test")                # raises TryLater unless there was a verdict

The standard library and PyNaCl (Ed25519) suffice.
"""

import hashlib
import hmac
import re
import secrets
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from nacl.signing import SigningKey

from discovery import (REPLY_BYTES, WELL_KNOWN, Directory, Resolver, ServerKey, sign_document)
from wire import (ADDRESS, CLAIM_ID, DAY, MESSAGE_ID, RANDOM, REQUEST_TAG, RESPONSE_TAG, TOKEN,
                  Asked, Refusal, Reply, Request, TryLater, b64, content_digest, domain_of,
                  dump_json, in_time, invalid, list_of, new_message_id, now_ms, number_of,
                  parse_json, parse_signature, random_text, request_components,
                  response_components, sign, signature_base, text_of, unb64, verifies)

TRANSACTIONS = "/federation/v1/transactions"
CLAIM = "/federation/v1/keys/claim"
DEVICE_LIST = "/federation/v1/devices/list"
CODES = {"duplicate", "unavailable", "request_waiting", "stale_list", "over_quota", "too_large",
         "bad"}
LIMITS = {"transaction_items": 1000, "transaction_bytes": 4 << 20, "content_bytes": 96 << 10}
FIRST_CONTACT = 8 << 10  # content of an envelope of a request


# Users and their devices, as far as another node can see them

DEVICE_KEYS = ("device_id", "registration_id", "scheme", "identity_key")


@dataclass
class Device:
    public: dict  # the device object of section 2.1, with its device_id
    one_time_prekeys: list
    pq_prekeys: list
    mailbox: list = field(default_factory=list)

    def listed(self):
        return {name: self.public[name] for name in DEVICE_KEYS}

    def bundle(self):
        """Takes the one-time keys that it names: each is handed out once, ever."""
        return {**self.listed(), "signed_prekey": self.public["signed_prekey"],
                "one_time_prekey": self.one_time_prekeys.pop(0) if self.one_time_prekeys else None,
                "pq_prekey": self.pq_prekeys.pop(0) if self.pq_prekeys
                else self.public.get("pq_last_resort_prekey")}


@dataclass
class User:
    address: str
    devices: dict = field(default_factory=dict)
    list_version: int = 0
    strangers: str = "accept"  # or "request", "refuse"
    requests: set = field(default_factory=set)
    accepted: set = field(default_factory=set)
    blocked: set = field(default_factory=set)
    results: list = field(default_factory=list)      # ends of messages that did not arrive
    receipts: list = field(default_factory=list)
    lists_seen: dict = field(default_factory=dict)   # address -> list_version, as hinted

    def welcomes(self, address):
        return address not in self.blocked and \
            (self.strangers != "refuse" or address in self.accepted)

    def first_contact(self, address, envelopes):
        """Why a message of an address that is welcome is not taken as a request; or None."""
        if address in self.accepted or self.strangers != "request":
            return None
        if address in self.requests:
            return "request_waiting"
        sizes = [len(unb64(envelope["content"])) for envelope in envelopes.values()]
        return "too_large" if max(sizes) > FIRST_CONTACT else None

    def device_list(self):
        return {"address": self.address, "list_version": self.list_version,
                "devices": [device.listed() for device in self.devices.values()]}


# Sections 4.5 and 4.6: receiving

@dataclass
class Stream:
    """What a receiver remembers of an origin: its last transaction."""
    name: str
    first: int
    last: int
    digest: bytes
    answer: dict


class Receiver:
    """Takes the items of other nodes. A real node commits the items, the row of the stream
    and the results in one transaction of its database before it answers."""

    def __init__(self, peer):
        self._peer = peer
        self._streams = {}
        self._taken = set()  # (origin, sender, device, message id)
        self._lock = threading.Lock()

    def transactions(self, origin, body, data):
        if "ephemeral" in body:
            if {"stream", "seq", "items"} & body.keys():
                raise invalid("ephemeral")
            for item in list_of(body, "ephemeral", 1, 100):
                self._take_ephemeral(origin, item)
            return {"acked": 0, "results": []}
        name = text_of(body, "stream", RANDOM)
        first = number_of(body, "seq", 1)
        items = list_of(body, "items", 1, LIMITS["transaction_items"])
        last, digest = first + len(items) - 1, hashlib.sha256(data).digest()
        with self._lock:
            known = self._streams.get(origin)
            same = known is not None and known.name == name
            if same and (first, last, digest) == (known.first, known.last, known.digest):
                return known.answer
            if first != (known.last + 1 if same else 1):
                raise Refusal(409, "STREAM_RESET")
            results = []
            for seq, item in enumerate(items, first):
                code, more = self._take(origin, item)
                if code != "ok":
                    results.append({"seq": seq, "code": code, **more})
            answer = {"acked": last, "results": results}
            self._streams[origin] = Stream(name, first, last, digest, answer)
            return answer

    def _take(self, origin, item):
        """The code for one item, and what comes with it. A malformed one does not spoil the
        others of its transaction."""
        kinds = {"message": self._message, "receipt": self._receipt,
                 "devices_changed": self._devices_changed, "void": lambda *_: ("ok", {})}
        try:
            return kinds[item["kind"]](origin, item)
        except (Refusal, KeyError, TypeError):
            return "bad", {}

    def _envelopes(self, item):
        """{device_id: envelope}; None if one of them is too large."""
        envelopes, large = {}, False
        for envelope in list_of(item, "envelopes"):
            device_id = number_of(envelope, "device_id", 1, 127)
            number_of(envelope, "registration_id", 1, 16383)
            number_of(envelope, "type", 0, 255)
            try:
                large = large or len(unb64(envelope["content"])) > LIMITS["content_bytes"]
            except ValueError:
                raise invalid("content") from None
            if device_id in envelopes:
                raise invalid("device_id")
            envelopes[device_id] = envelope
        return None if large else envelopes

    def _read_message(self, origin, item, numbered):
        """Its recipient and envelopes, after everything that can be told without them."""
        message_id = text_of(item, "id", MESSAGE_ID)
        sender, to = text_of(item, "from", ADDRESS), text_of(item, "to", ADDRESS)
        device = number_of(item, "from_device", 1, 127)
        number_of(item, "timestamp")
        number_of(item, "list_version", default=0)
        if not isinstance(item.get("urgent", True), bool):
            raise invalid("urgent")
        if numbered or "token" in item:
            text_of(item, "token", TOKEN)
        if numbered or "expires_at" in item:
            number_of(item, "expires_at")
        if domain_of(sender) != origin:
            raise Refusal(400, "VALIDATION_ERROR", field="from")
        return (origin, sender, device, message_id), self._peer.users.get(to)

    def _message(self, origin, item):
        key, user = self._read_message(origin, item, numbered=True)
        envelopes = self._envelopes(item)
        if envelopes is None:
            return "too_large", {}
        if key in self._taken:
            return "duplicate", {}
        if user is None or not user.welcomes(item["from"]):
            return "unavailable", {}
        refused = user.first_contact(item["from"], envelopes)
        if refused:
            return refused, {}
        if not self._fits(user, envelopes):
            found = user.device_list()
            return "stale_list", {"list_version": found["list_version"],
                                  "devices": found["devices"]}
        self._taken.add(key)
        if item["from"] not in user.accepted:
            user.requests.add(item["from"])
        self._put(user, item, envelopes)
        return "ok", {}

    def _take_ephemeral(self, origin, item):
        """To whoever is there, from those they have accepted; nobody is told."""
        try:
            _, user = self._read_message(origin, item, numbered=False)
            envelopes = self._envelopes(item)
        except (Refusal, KeyError, TypeError):
            return
        if user and envelopes and item["from"] in user.accepted and self._fits(user, envelopes):
            self._put(user, item, envelopes, ephemeral=True)

    @staticmethod
    def _fits(user, envelopes):
        """One envelope for each device, under its registration id as it is now."""
        return {device_id: envelope["registration_id"]
                for device_id, envelope in envelopes.items()} == \
            {device_id: device.public["registration_id"]
             for device_id, device in user.devices.items()}

    @staticmethod
    def _put(user, item, envelopes, ephemeral=False):
        for device_id, envelope in envelopes.items():
            user.devices[device_id].mailbox.append({
                **{name: item[name] for name in ("id", "from", "from_device", "timestamp")},
                "token": item.get("token"), "ephemeral": ephemeral,
                "type": envelope["type"], "content": envelope["content"]})

    def _receipt(self, origin, item):
        """Counts only with the token that this node itself gave to the message."""
        message_id = text_of(item, "id", MESSAGE_ID)
        sender, to = text_of(item, "from", ADDRESS), text_of(item, "to", ADDRESS)
        devices = list_of(item, "devices")
        number_of(item, "timestamp")
        device = self._peer.check_token(text_of(item, "token", TOKEN), message_id, to, sender)
        if domain_of(sender) != origin or device is None:
            return "bad", {}
        if to in self._peer.users:
            self._peer.users[to].receipts.append(
                {"id": message_id, "from": sender, "devices": devices, "to_device": device})
        return "ok", {}

    def _devices_changed(self, origin, item):
        address = text_of(item, "address", ADDRESS)
        version = number_of(item, "list_version")
        if domain_of(address) != origin:
            return "bad", {}
        for user in self._peer.users.values():
            if address in user.accepted:
                user.lists_seen[address] = version
        return "ok", {}


# Sections 4.5 and 4.6: sending

class Outbox:
    """What waits for one destination. One transaction is in flight; it is repeated with the
    same body until there is a verdict."""

    def __init__(self, peer, destination):
        self._peer = peer
        self._destination = destination
        self.items = []
        self._begin_stream()

    def _begin_stream(self):
        self.stream, self.acked = random_text(), 0
        self.in_flight = None  # (number of items, body)
        self._batch = None     # the most items to try at once, after a refusal

    def deliver(self):
        """Sends until nothing waits. TryLater leaves everything as it was."""
        resets = 0
        while self.items:
            status, answer = self.step()
            resets += status == 409
            if resets > 3:
                raise TryLater(f"{self._destination} resets every stream")

    def step(self):
        """One transaction and its verdict."""
        count, body = self.in_flight = self.in_flight or self._next()
        if count == 0:
            self._give_up("too_large")
            return None, None
        status, answer = self._peer.call(self._destination, TRANSACTIONS, body)
        if status == 200:
            self._taken(count, answer)
        elif status == 409 and answer["error"]["code"] == "STREAM_RESET":
            self._begin_stream()
        elif status in (400, 413):
            # Somewhere in there is an item that the other side cannot take: find it alone.
            self.in_flight = None
            if count > 1:
                self._batch = count // 2
            else:
                self._give_up("bad" if status == 400 else "too_large")
        else:
            raise TryLater(f"{self._destination} answered {status}")
        return status, answer

    def _next(self):
        limits = {**LIMITS, **self._peer.find(self._destination).document.content.get("limits", {})}
        count = min(len(self.items), self._batch or limits["transaction_items"])
        while count > 0:
            body = dump_json({"stream": self.stream, "seq": self.acked + 1,
                              "items": self.items[:count]})
            if len(body) <= limits["transaction_bytes"]:
                return count, body
            count //= 2
        return 0, b""  # not even one: the other side would refuse it unread

    def _give_up(self, code):
        """Ends the first item. Its number stays empty, so that a new stream follows."""
        batch = self._batch
        self._begin_stream()
        self._batch = batch
        self._end(self.items.pop(0), {"code": code})

    def _taken(self, count, answer):
        results = {result["seq"]: result for result in answer["results"]}
        first, last = self.acked + 1, self.acked + count
        if answer["acked"] != last or len(results) != len(answer["results"]) or \
                not all(first <= seq <= last for seq in results) or \
                not all(result["code"] in CODES for result in results.values()):
            raise TryLater(f"{self._destination} answers for what it was not sent")
        for seq, item in enumerate(self.items[:count], first):
            self._end(item, results.get(seq, {"code": "ok"}))
        self.acked, self.items, self.in_flight = last, self.items[count:], None
        if self._batch:
            self._batch *= 2  # the bad one has been passed, or is yet to come

    def _end(self, item, result):
        if item["kind"] == "message" and result["code"] not in ("ok", "duplicate"):
            self._peer.users[item["from"]].results.append(
                {"id": item["id"], "to": item["to"], **result})


# The node

class Peer:
    def __init__(self, domain, certificate, key, ca_file, dns_server, port=0,
                 allow_private=False, address="127.0.0.1"):
        self.domain = domain
        self.authority = domain  # SRV says where; the name stays
        self.directory = Directory(Resolver(dns_server), ca_file, allow_private)
        self.keys = [ServerKey("k1")]
        self.root = SigningKey.generate()
        self.root_signed = None  # goes along with every document
        self.revision = now_ms()
        self.document_life = 7 * DAY
        self.users = {}
        self.receiver = Receiver(self)
        self._subscribers = {}  # address -> {domain: until}
        self._claims = {}       # (origin, claim_id) -> (request, answer)
        self._nonces = {}       # (origin, nonce) -> seen until
        self._outboxes = {}
        self._token_key = secrets.token_bytes(32)
        self._lock = threading.RLock()
        self._calls = {TRANSACTIONS: self.receiver.transactions, CLAIM: self._serve_claim,
                       DEVICE_LIST: self._serve_device_list}
        self._server = _Server(self, certificate, key, (address, port))
        self.port = self._server.server_address[1]

    def start(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    # Its own document and DNS records

    def live_keys(self):
        return [key for key in self.keys if key.not_before <= now_ms() <= key.not_after]

    def txt_records(self):
        return [f"v=restante1; kid={key.kid}; key={b64(key.public)}" for key in self.live_keys()]

    def document(self, **changes):
        """The members of the document; `changes` replaces some."""
        url, now = f"https://{self.authority}", now_ms()
        return {"server": self.domain, "federation": url, "api": url,
                "keys": [key.published() for key in self.keys],
                "root_key": b64(bytes(self.root.verify_key)), "revision": self.revision,
                "previous": None, "issued_at": now, "valid_until": now + self.document_life,
                "limits": LIMITS,
                "software": {"name": "peer.py", "version": "1"}, **changes}

    def served_document(self):
        return sign_document(dump_json(self.document()),
                             {key.kid: key.secret for key in self.live_keys()},
                             self.root_signed)

    def sign_by_root(self):
        """The root signs the document as it is now."""
        self.root_signed = sign_document(dump_json(self.document()), {"root": self.root})

    # Receiving requests

    def answer(self, request):
        """The reply to whatever arrives. It is signed once the request's own signature has
        verified, whatever its status."""
        try:
            if request.method == "GET" and request.path == WELL_KNOWN:
                return Reply(200, {}, dump_json(self.served_document()))
            call = self._calls.get(request.path)
            if call is None:
                raise Refusal(404, "NOT_FOUND")
            if request.method != "POST":
                raise Refusal(405, "METHOD_NOT_ALLOWED")
            origin, asked = self.check_request(request)
        except Refusal as refusal:
            return Reply(refusal.status, {}, dump_json(refusal.body))
        except TryLater as problem:  # its keys cannot be had
            return Reply(401, {}, dump_json(Refusal(401, "SIGNATURE_KEY_UNKNOWN",
                                                    str(problem)).body))
        try:
            self._check_fresh(origin, asked, request.body)
            return self.signed_reply(asked, 200, call(origin, parse_json(request.body),
                                                      request.body))
        except Refusal as refusal:
            return self.signed_reply(asked, refusal.status, refusal.body)

    def check_request(self, request):
        """The checks of section 4.4 in their order, up to the signature."""
        needed = ("content-type", "content-digest", "restante-destination", "signature-input",
                  "signature")
        if not all(name in request.headers for name in needed):
            raise Refusal(401, "SIGNATURE_MISSING")
        names = [name for name, _ in request_components(Asked(*[""] * 5))]
        try:
            signed = parse_signature(request.headers, names, REQUEST_TAG)
        except ValueError as error:
            raise Refusal(401, "SIGNATURE_FORMAT", str(error)) from error
        if request.headers["restante-destination"] != self.domain:
            raise Refusal(401, "SIGNATURE_DESTINATION")
        if not in_time(signed, now_ms() // 1000):
            raise Refusal(401, "SIGNATURE_CLOCK", server_time=now_ms())
        origin = self.find(signed.domain)
        key = origin.key(signed.kid)
        if key is None and origin.conflict:
            raise Refusal(403, "KEY_CONFLICT")
        if key is None:
            raise Refusal(401, "SIGNATURE_KEY_UNKNOWN")
        # The authority is the one this node publishes, whatever the Host header says.
        asked = Asked(self.authority, request.path, signed.digest, self.domain, signed.nonce)
        if not verifies(key.bytes, signed.signature,
                        signature_base(request_components(asked), signed.params)):
            raise Refusal(401, "SIGNATURE_INVALID")
        return signed.domain, asked

    def _check_fresh(self, origin, asked, body):
        now = now_ms()
        with self._lock:
            self._nonces = {key: until for key, until in self._nonces.items() if until > now}
            if (origin, asked.nonce) in self._nonces:
                raise Refusal(401, "SIGNATURE_REPLAY")
            self._nonces[origin, asked.nonce] = now + 660_000
        if content_digest(body) != asked.digest:
            raise Refusal(401, "SIGNATURE_DIGEST")

    def signed_reply(self, asked, status, answer, created=None):
        body = dump_json(answer)
        digest = content_digest(body)
        headers = sign(response_components(status, digest, asked), RESPONSE_TAG,
                       created or now_ms() // 1000, asked.nonce, self.domain, self.live_keys()[0])
        return Reply(status, {"Content-Digest": digest, **headers}, body)

    # Sending requests

    def find(self, domain):
        with self._lock:
            return self.directory.find(domain)

    def sign_request(self, destination, authority, path, body, created=None, key=None):
        """The headers of a request, and what its response will have to be about."""
        asked = Asked(authority, path, content_digest(body), destination, random_text())
        headers = sign(request_components(asked), REQUEST_TAG, created or now_ms() // 1000,
                       asked.nonce, self.domain, key or self.live_keys()[0])
        return {"Host": authority, "Content-Type": "application/json",
                "Content-Digest": asked.digest, "Restante-Destination": destination,
                **headers}, asked

    def post(self, destination, path, headers, body):
        """The bare exchange: status, headers and body, not verified yet."""
        remote = self.find(destination)
        return self.directory.exchange(remote.tls_name, remote.endpoints, "POST", path, headers,
                                       body)

    def call(self, destination, path, body):
        """Status and answer, only if they are validly signed: nothing else is a verdict."""
        remote = self.find(destination)
        data = body if isinstance(body, bytes) else dump_json(body)
        headers, asked = self.sign_request(destination, remote.document.authority, path, data)
        status, headers, answer = self.post(destination, path, headers, data)
        problem = self.response_problem(remote, asked, status, headers, answer)
        if problem:
            raise TryLater(f"{destination} answered {status}, {problem}: {answer[:200]}")
        return status, parse_json(answer)

    @staticmethod
    def response_problem(remote, asked, status, headers, body):
        """What is wrong with the signature of a response; None if nothing is."""
        fields = {}
        for name, value in headers.items():
            if name.lower() in fields:
                value = None  # twice
            fields[name.lower()] = value
        names = [name for name, _ in response_components("", "", Asked(*[""] * 5))]
        try:
            signed = parse_signature(fields, names, RESPONSE_TAG)
        except (KeyError, TypeError, ValueError) as error:
            return f"not signed ({error!r})"
        key = remote.key(signed.kid)
        if signed.domain != remote.domain or key is None:
            return "signed by someone else"
        if signed.nonce != asked.nonce:
            return "signed for another request"
        if not in_time(signed, now_ms() // 1000):
            return "signed at another time"
        if signed.digest != content_digest(body):
            return "with another body"
        base = signature_base(response_components(status, signed.digest, asked), signed.params)
        return None if verifies(key.bytes, signed.signature, base) else "signature is wrong"

    # Section 4.7: the other calls, both ways

    def _local_user(self, body, origin):
        requester = text_of(body, "requester", ADDRESS)
        user = self.users.get(text_of(body, "address", ADDRESS))
        if domain_of(requester) != origin:
            raise Refusal(403, "FORBIDDEN")
        if user is None or not user.welcomes(requester):
            raise Refusal(404, "UNAVAILABLE")
        return user

    def _serve_claim(self, origin, body, _):
        key = origin, text_of(body, "claim_id", CLAIM_ID)
        user = self._local_user(body, origin)
        wanted = list_of(body, "devices") if "devices" in body else list(user.devices)
        request = (body["requester"], body["address"], tuple(wanted))
        with self._lock:
            if key in self._claims:  # kept for 24 h in a real node
                earlier, answer = self._claims[key]
                if earlier != request:
                    raise invalid("claim_id")
                return answer
            answer = {"address": user.address, "list_version": user.list_version,
                      "devices": [device.bundle() for device_id, device in user.devices.items()
                                  if device_id in wanted]}
            self._claims[key] = request, answer
            return answer

    def _serve_device_list(self, origin, body, _):
        user = self._local_user(body, origin)
        with self._lock:
            self._subscribers.setdefault(user.address, {})[origin] = now_ms() + 30 * DAY
        return user.device_list()

    def claim(self, requester, address, devices=None, claim_id=None):
        """The bundles of another domain's user."""
        body = {"claim_id": claim_id or random_text(), "requester": requester, "address": address}
        if devices:
            body["devices"] = devices
        return self._ask(CLAIM, body)

    def device_list(self, requester, address):
        return self._ask(DEVICE_LIST, {"requester": requester, "address": address})

    def _ask(self, path, body):
        status, answer = self.call(domain_of(body["address"]), path, body)
        if status != 200:
            error = answer["error"]
            raise Refusal(status, error["code"], error["message"], **error["details"])
        return answer

    # Its users

    def add_device(self, username, device):
        """Adds a device (section 2.1), and the user with the first; whoever asked for the list
        is told."""
        address = f"{username}@{self.domain}"
        user = self.users.setdefault(address, User(address))
        device_id = max(user.devices, default=0) + 1
        user.devices[device_id] = Device({**device, "device_id": device_id},
                                         list(device.get("one_time_prekeys", [])),
                                         list(device.get("pq_prekeys", [])))
        self._list_changed(user)
        return user

    def remove_device(self, user, device_id):
        del user.devices[device_id]
        self._list_changed(user)

    def _list_changed(self, user):
        user.list_version = max(user.list_version + 1, now_ms())
        for domain, until in self._subscribers.get(user.address, {}).items():
            if until > now_ms():
                self.outbox(domain).items.append({"kind": "devices_changed",
                                                  "address": user.address,
                                                  "list_version": user.list_version})

    def outbox(self, domain):
        return self._outboxes.setdefault(domain, Outbox(self, domain))

    def deliver(self, domain):
        self.outbox(domain).deliver()

    def message(self, sender, device_id, to, envelopes, list_version=0):
        """An item of kind message."""
        message_id = new_message_id()
        return {"kind": "message", "id": message_id, "from": sender, "from_device": device_id,
                "to": to, "timestamp": now_ms(), "urgent": True, "expires_at": now_ms() + 7 * DAY,
                "list_version": list_version, "token": self._token(message_id, device_id, sender,
                                                                   to),
                "envelopes": envelopes}

    def send(self, sender, device_id, to, envelopes, list_version=0):
        """Puts a message into the outbox; sending to an address accepts it."""
        item = self.message(sender, device_id, to, envelopes, list_version)
        self.users[sender].accepted.add(to)
        self.outbox(domain_of(to)).items.append(item)
        return item["id"]

    def acknowledge(self, user, device_id, item):
        """A device has taken an item of its mailbox: its sender gets a receipt, if accepted."""
        user.devices[device_id].mailbox.remove(item)
        if item["from"] in user.accepted and not item["ephemeral"]:
            self.outbox(domain_of(item["from"])).items.append({
                "kind": "receipt", "id": item["id"], "from": user.address, "to": item["from"],
                "devices": [device_id], "timestamp": now_ms(), "token": item["token"]})

    # A token says that this node sent a message, and from which device: receipts need no table.

    def _token(self, message_id, device_id, sender, recipient):
        parts = "\0".join([message_id, str(device_id), sender, recipient]).encode()
        return f"{device_id}.{hmac.new(self._token_key, parts, 'sha256').hexdigest()}"

    def check_token(self, token, message_id, sender, recipient):
        """The sending device, or None if the token is not of this node and message."""
        device_id = token.partition(".")[0]
        if not re.fullmatch("[1-9][0-9]{0,2}", device_id):
            return None
        good = self._token(message_id, int(device_id), sender, recipient)
        return int(device_id) if hmac.compare_digest(token.encode(), good.encode()) else None


# HTTP

class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, peer, certificate, key, address):
        self.peer = peer
        super().__init__(address, _Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        tls.load_cert_chain(certificate, key)
        # Handshakes happen in the thread of their connection, not in that of accept().
        self.socket = tls.wrap_socket(self.socket, server_side=True,
                                      do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        pass  # a connection that ended: nothing to tell


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def _handle(self):
        length = self.headers.get_all("Content-Length", ["0"])
        if len(length) != 1 or not re.fullmatch("[0-9]{1,9}", length[0]) or \
                "Transfer-Encoding" in self.headers or int(length[0]) > REPLY_BYTES:
            self.close_connection = True
            return self._reply(Reply(400, {}, dump_json(Refusal(400, "VALIDATION_ERROR").body)))
        headers = {}
        for name, value in self.headers.items():
            # Twice the same header: joined, so that it has no form that is accepted.
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value.strip()
        body = self.rfile.read(int(length[0]))
        self._reply(self.server.peer.answer(Request(self.command, self.path, headers, body)))

    def _reply(self, reply):
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json",
                            "Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = _handle

    def log_message(self, *_):
        pass
