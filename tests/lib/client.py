# SPDX-License-Identifier: MIT
"""A plain client of the API (docs/protocol.md, sections 2 and 3): one method for each call,
named after it. It knows nothing of keys and sealing. Works within a lab (lab.py), whose
names and certificates only the lab knows."""

import http.client
import json
import os
import socket
import ssl
import time
import uuid
from collections import deque
from urllib.parse import quote, urlencode

import websocket

from lab import ADDRESS

# Close codes that are registered, but too new for Debian's websocket-client.
websocket._abnf.VALID_CLOSE_STATUS += (1012, 1013)

# What a kept connection fails with when the node has closed it meanwhile.
GONE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError,
        ssl.SSLEOFError, ssl.SSLZeroReturnError)


def now_ms():
    return time.time_ns() // 1_000_000


def new_id():
    """A message id: a UUID of version 7."""
    value = bytearray(now_ms().to_bytes(6, "big") + os.urandom(10))
    value[6] = 0x70 | value[6] & 0x0F
    value[8] = 0x80 | value[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(value)))


def make_message(to, envelopes, id=None, list_version=0, **more):
    """A message as messages/send and the frame `send` take it."""
    return {"to": to, "id": id or new_id(), "timestamp": now_ms(),
            "list_version": list_version, "envelopes": envelopes, **more}


class ApiError(Exception):
    """A refusal in the uniform format, or a reply that is not in it (code None)."""

    def __init__(self, status, body, headers):
        error = body.get("error", {}) if isinstance(body, dict) else {}
        self.status = status
        self.code = error.get("code")
        self.message = error.get("message")
        self.details = error.get("details", {})
        self.retry_after = headers.get("Retry-After")
        super().__init__(f"{status} {self.code}: {self.message} {self.details}")


class SocketClosed(Exception):
    def __init__(self, code, reason=""):
        self.code = code
        super().__init__(f"{code} {reason}")


def only_given(**values):
    return {name: value for name, value in values.items() if value is not None}


class Client:
    """One device of an account at a node. register(), login() and link() begin its
    session."""

    def __init__(self, node, timeout=30):
        self.node = node
        self.timeout = timeout
        self.address = self.device_id = None
        self.access_token = self.refresh_token = None
        self.status = None  # of the last answer
        self._connection = None

    # Transport

    def call(self, method, path, body=None, public=False, headers=None):
        """One call; answers the decoded body, raises ApiError on anything but 2xx."""
        fields = {} if public else {"Authorization": f"Bearer {self.access_token}"}
        data = None
        if body is not None:
            fields["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        response, text = self._exchange(method, f"/api/v1/{path}", data,
                                        {**fields, **(headers or {})})
        self.status = response.status
        try:
            answer = json.loads(text) if text else {}
        except ValueError:
            answer = text
        if not 200 <= response.status < 300:
            raise ApiError(response.status, answer, response.headers)
        return answer

    def _exchange(self, method, path, data, headers):
        """Over the open connection, or over a new one if that has gone meanwhile."""
        reused = self._connection is not None
        if not reused:
            self._connection = self.node.lab.connection(self.node, self.timeout)
        try:
            self._connection.request(method, path, data, headers)
            response = self._connection.getresponse()
            text = response.read()
        except (http.client.HTTPException, OSError) as error:
            self.close()
            if reused and isinstance(error, GONE):
                return self._exchange(method, path, data, headers)
            raise
        if response.will_close:
            self.close()
        return response, text

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin(self, session):
        self.address = session["address"]
        self.device_id = session["device_id"]
        self.access_token = session["access_token"]
        self.refresh_token = session["refresh_token"]
        return session

    # 2.2 Accounts and sessions

    def register(self, username, device, password=None, invite=None):
        return self._begin(self.call("POST", "auth/register", public=True, body=only_given(
            username=username, device=device, password=password, invite=invite)))

    def challenge(self):
        return self.call("POST", "auth/challenge", {}, public=True)

    def login(self, username, device_id, password):
        return self._begin(self.call("POST", "auth/login", public=True, body={
            "username": username, "device_id": device_id, "password": password}))

    def login_by_signature(self, username, device_id, nonce, signature):
        return self._begin(self.call("POST", "auth/login", public=True, body={
            "username": username, "device_id": device_id, "nonce": nonce,
            "signature": signature}))

    def login_text(self, username, device_id, nonce):
        """The bytes that a device signs to log in."""
        parts = ["restante-login-1", self.node.domain, f"{username}@{self.node.domain}",
                 str(device_id), nonce]
        return "\0".join(parts).encode()

    def refresh(self, refresh_token=None):
        return self._begin(self.call("POST", "auth/refresh", public=True, body={
            "refresh_token": refresh_token or self.refresh_token}))

    def logout(self):
        return self.call("POST", "auth/logout", {})

    def change_password(self, password, current_password=None):
        return self.call("PUT", "account/password", only_given(
            password=password, current_password=current_password))

    def delete_account(self, password=None):
        return self.call("DELETE", "account", only_given(password=password))

    def account(self):
        return self.call("GET", "account")

    def change_account(self, **settings):
        return self.call("PATCH", "account", settings)

    # 2.3 Devices

    def devices(self):
        return self.call("GET", "devices")

    def rename_device(self, device_id, name):
        return self.call("PATCH", f"devices/{device_id}", {"name": name})

    def remove_device(self, device_id):
        return self.call("DELETE", f"devices/{device_id}")

    def link_token(self):
        return self.call("POST", "devices/link-token", {})

    def link(self, token, device):
        return self._begin(self.call("POST", "devices/link", public=True, body={
            "token": token, "device": device}))

    def link_by_password(self, username, password, device):
        return self._begin(self.call("POST", "devices/link", public=True, body={
            "username": username, "password": password, "device": device}))

    # 2.4 Prekeys

    def upload_keys(self, **keys):
        return self.call("PUT", "keys", keys)

    def key_stats(self):
        return self.call("GET", "keys/stats")

    def device_list(self, address):
        return self.call("GET", f"keys/devices/{quote(address)}")

    def claim(self, address, claim_id=None, devices=None):
        return self.call("POST", "keys/claim", only_given(
            claim_id=claim_id or new_id(), address=address, devices=devices))

    def bundle(self, address):
        return self.call("GET", f"keys/bundle/{quote(address)}")

    # 2.5 Consent

    def consent(self):
        return self.call("GET", "consent")

    def accept(self, address):
        return self.call("PUT", f"consent/{quote(address)}", {})

    def forget(self, address):
        return self.call("DELETE", f"consent/{quote(address)}")

    def block(self, address):
        return self.call("PUT", f"blocks/{quote(address)}", {})

    def unblock(self, address):
        return self.call("DELETE", f"blocks/{quote(address)}")

    # 2.6 Sending, 2.7 the mailbox

    def send(self, to, envelopes, **more):
        """Sends what make_message() makes of the arguments."""
        return self.call("POST", "messages/send", make_message(to, envelopes, **more))

    def message(self, id):
        return self.call("GET", f"messages/{id}")

    def mailbox(self, after=None, limit=None):
        query = urlencode(only_given(after=after, limit=limit))
        return self.call("GET", f"mailbox?{query}" if query else "mailbox")

    def ack(self, up_to=None, seqs=None):
        return self.call("POST", "mailbox/ack", only_given(up_to=up_to, seqs=seqs))

    # 3 The WebSocket

    def socket(self, token_in_header=True):
        """Opens the device's socket. Without the token in the header the caller sends
        `auth` first."""
        return Socket(self.node, self.access_token if token_in_header else None, self.timeout)


class Socket:
    """The WebSocket of a device. Frames of other types than the one waited for are kept
    until somebody waits for them."""

    def __init__(self, node, token=None, timeout=30):
        raw = socket.create_connection((ADDRESS, node.port), timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = node.lab.tls.wrap_socket(raw, server_hostname=node.domain)
        header = [f"Authorization: Bearer {token}"] if token else []
        self._kept = deque()
        try:
            self._ws = websocket.create_connection(
                f"wss://{node.domain}:{node.port}/api/v1/ws", timeout=timeout, socket=tls,
                header=header, suppress_origin=True)
        except websocket.WebSocketBadStatusException as error:
            tls.close()
            raise ApiError(error.status_code, {}, {}) from error

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self._ws.close(timeout=1)

    def drop(self):
        """Closes the connection without a word."""
        self._ws.shutdown()

    # To the node

    def write(self, frame):
        self._ws.send(frame if isinstance(frame, str) else json.dumps(frame))

    def auth(self, token):
        self.write({"type": "auth", "token": token})
        return self.wait_for("auth")

    def send(self, messages):
        """Sends messages (make_message()); answers their results, in order."""
        self.write({"type": "send", "messages": messages})
        return self.wait_for("send_result", lambda f: "seq" not in f["results"][0])["results"]

    def ack(self, up_to=None, seqs=None):
        self.write({"type": "ack", **only_given(up_to=up_to, seqs=seqs)})

    def ping(self):
        self.write({"type": "ping"})
        return self.wait_for("pong")

    # From the node

    def read(self, timeout=10):
        """The next frame from the wire. Raises SocketClosed at its end, TimeoutError when
        nothing comes."""
        self._ws.settimeout(timeout)
        try:
            opcode, data = self._ws.recv_data()
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError(f"no frame within {timeout} s") from error
        except (websocket.WebSocketConnectionClosedException, ConnectionError) as error:
            raise SocketClosed(1006, str(error)) from error
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.drop()  # recv_data has answered it
            code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
            raise SocketClosed(code, data[2:].decode(errors="replace"))
        return json.loads(data)

    def wait_for(self, kind, matches=lambda frame: True, timeout=10):
        """The next frame of this type that matches."""
        for frame in self._kept:
            if frame["type"] == kind and matches(frame):
                self._kept.remove(frame)
                return frame
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no {kind} frame within {timeout} s; "
                                   f"kept: {[f['type'] for f in self._kept]}")
            frame = self.read(left)
            if frame["type"] == kind and matches(frame):
                return frame
            self._kept.append(frame)

    def wait_closed(self, timeout=10):
        """The close code; frames before it are kept."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._kept.append(self.read(max(0.01, deadline - time.monotonic())))
            except SocketClosed as closed:
                return closed.code

    def envelopes(self, count=1, timeout=10):
        """This many envelopes, across frames. What a frame brings beyond them is kept."""
        return self._items("envelope", "envelopes", count, timeout)

    def receipts(self, count=1, timeout=10):
        return self._items("receipt", "receipts", count, timeout)

    def results(self, count=1, timeout=10):
        """send_result items of the mailbox: those with a seq."""
        return self._items("send_result", "results", count, timeout,
                           lambda frame: "seq" in frame["results"][0])

    def _items(self, kind, member, count, timeout, matches=lambda frame: True):
        items = []
        deadline = time.monotonic() + timeout
        while len(items) < count:
            frame = self.wait_for(kind, matches, max(0, deadline - time.monotonic()))
            items += frame[member]
        if len(items) > count:
            self._kept.appendleft({"type": kind, member: items[count:]})
        return items[:count]

    def nothing(self, seconds=0.3, kinds=("envelope", "receipt")):
        """True if no frame of these types comes for a while."""
        try:
            while True:
                self._kept.append(self.read(seconds))
        except TimeoutError:
            return not any(frame["type"] in kinds for frame in self._kept)
