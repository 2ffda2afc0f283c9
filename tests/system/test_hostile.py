# SPDX-License-Identifier: MIT
"""Hostile clients: bytes that are no HTTP, HTTP that means two things, slow and half-open
connections, frames and JSON of every wrong kind, and too much of what is right. Each gets a
clear error, nothing is stored, the node goes on, and its log holds no secrets.

The nodes run with sanitizers (./dev test): what they would have to say fails the last test or
the end of the lab."""

import http.client
import io
import json
import os
import socket
import ssl
import struct
import threading
import time

import pytest

from client import ApiError, Client, make_message, new_id
from lab import ADDRESS, Lab, wait_until
from sealer import SealerDevice, b64

TIMEOUT = 2  # seconds that the node gives a request
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(folder=tmp_path_factory.mktemp("hostile") / "lab", keep=True) as lab:
        lab.add_node("a.test", limits__rate_scale=1000, listen__request_timeout=f"{TIMEOUT}s",
                     node__log_level="debug", accounts__password_memory="8M")
        lab.add_node("limited.test", node__log_level="debug", accounts__password_memory="8M")
        lab.start()
        yield lab


@pytest.fixture(scope="module")
def node(lab):
    return lab.nodes["a.test"]


class Person(Client):
    """A device whose secrets are remembered: none of them may be in a log."""
    secrets = [PASSWORD]

    def __init__(self, node, username):
        super().__init__(node)
        self.keys = SealerDevice("phone")
        self.register(username, self.keys.public, password=PASSWORD)
        self.secrets += [self.access_token, self.refresh_token, f"{username}@"]

    def envelope(self, **changes):
        """An envelope to this device."""
        return {"device_id": 1, "registration_id": self.keys.public["registration_id"],
                "type": 1, "content": b64(b"sealed"), **changes}


@pytest.fixture(scope="module")
def alice(node):
    return Person(node, "alice")


@pytest.fixture(scope="module")
def bob(node):
    return Person(node, "bob")


@pytest.fixture(scope="module")
def unauthenticated(node):
    """A WebSocket that never says who it is, from the beginning on: (code, seconds) when it
    has been closed."""
    started, end = time.monotonic(), []
    ws = Client(node).socket(token_in_header=False)

    def watch():
        end.append((ws.wait_closed(timeout=30), time.monotonic() - started))

    thread = threading.Thread(target=watch)
    thread.start()
    yield lambda: (thread.join(30), end)[1][0]


@pytest.fixture(autouse=True)
def still_serves(node, unauthenticated):
    yield
    assert node.get("/healthz")[0] == 200


# Raw HTTP


def connect(node, timeout=2 * TIMEOUT + 3):
    raw = socket.create_connection((ADDRESS, node.port), timeout)
    return node.lab.tls.wrap_socket(raw, server_hostname=node.domain)


def read_all(sock):
    """Until the node closes; None if it does not within the timeout."""
    data = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return data
            data += piece
    except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLError) as error:
        if isinstance(error, TimeoutError):
            return None
        return data
    except TimeoutError:
        return None


class Bytes:
    """A socket for http.client to parse an answer from."""

    def __init__(self, data):
        self._data = data

    def makefile(self, *_):
        return io.BytesIO(self._data)


def parse(data):
    response = http.client.HTTPResponse(Bytes(data))
    response.begin()
    return response.status, response.headers, json.loads(response.read() or b"null")


def post(path, body, *headers):
    head = [f"POST {path} HTTP/1.1", "Host: a.test", "Content-Type: application/json",
            *headers, "", ""]
    return "\r\n".join(head).encode() + body


def refused_raw(node, data, status, code):
    """One answer in the uniform format, then the end of the connection: nothing behind what
    was refused is read as another request."""
    with connect(node) as sock:
        sock.sendall(data)
        answer = read_all(sock)
    assert answer is not None, "the connection stays open"
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    got, headers, body = parse(answer)
    assert (got, body["error"]["code"], body["success"]) == (status, code, False)
    assert headers["Connection"] == "close"
    return body


HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: a.test\r\n\r\n"  # must never be answered
CHUNKED = b"0\r\n\r\n" + HIDDEN
LOGIN = "/api/v1/auth/challenge"
BAD, NO_LENGTH = (400, "VALIDATION_ERROR"), (411, "LENGTH_REQUIRED")


def get(*lines):
    return "\r\n".join([*lines, "", ""]).encode() + HIDDEN


SMUGGLED = {
    "chunked": (post(LOGIN, CHUNKED, "Transfer-Encoding: chunked"), *NO_LENGTH),
    "chunked and a length":
        (post(LOGIN, CHUNKED, "Transfer-Encoding: chunked", "Content-Length: 5"), *BAD),
    "a length and chunked":
        (post(LOGIN, CHUNKED, "Content-Length: 5", "Transfer-Encoding: chunked"), *BAD),
    "identity": (post(LOGIN, HIDDEN, "Transfer-Encoding: identity"), *NO_LENGTH),
    "unknown coding": (post(LOGIN, CHUNKED, "Transfer-Encoding: xchunked"), *NO_LENGTH),
    "chunked twice":
        (post(LOGIN, CHUNKED, "Transfer-Encoding: chunked", "Transfer-Encoding: x"), *BAD),
    "coding in tabs": (post(LOGIN, CHUNKED, "Transfer-Encoding:\tchunked"), *NO_LENGTH),
    "blank before the colon": (post(LOGIN, CHUNKED, "Transfer-Encoding : chunked"), *BAD),
    "blank before the name": (post(LOGIN, CHUNKED, " Transfer-Encoding: chunked"), *BAD),
    "folded": (post(LOGIN, CHUNKED, "X: y\r\n Transfer-Encoding: chunked"), *BAD),
    "behind a bare LF": (post(LOGIN, CHUNKED, "X: y\nTransfer-Encoding: chunked"), *BAD),
    "behind a bare CR": (post(LOGIN, CHUNKED, "X: y\rTransfer-Encoding: chunked"), *BAD),
    "behind a NUL": (post(LOGIN, CHUNKED, "X: \0Transfer-Encoding: chunked"), *BAD),
    "chunked in a GET":
        (get("GET /healthz HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked"), *NO_LENGTH),
    "length twice":
        (post(LOGIN, b"{}" + HIDDEN, "Content-Length: 2", "Content-Length: 2"), *BAD),
    "two lengths":
        (post(LOGIN, b"{}" + HIDDEN, "Content-Length: 2", "content-length: 40"), *BAD),
    "length list": (post(LOGIN, b"{}" + HIDDEN, "Content-Length: 2, 2"), *BAD),
    "length +2": (post(LOGIN, b"{}" + HIDDEN, "Content-Length: +2"), *BAD),
    "length -2": (post(LOGIN, b"{}" + HIDDEN, "Content-Length: -2"), *BAD),
    "length 0x2": (post(LOGIN, b"{}" + HIDDEN, "Content-Length: 0x2"), *BAD),
    "length 2.0": (post(LOGIN, b"{}" + HIDDEN, "Content-Length: 2.0"), *BAD),
    "length 2 2": (post(LOGIN, b"{}" + HIDDEN, "Content-Length: 2 2"), *BAD),
    "length quoted": (post(LOGIN, b"{}" + HIDDEN, 'Content-Length: "2"'), *BAD),
    "length empty": (post(LOGIN, b"{}" + HIDDEN, "Content-Length:"), *BAD),
    "length of 20 digits": (post(LOGIN, b"{}" + HIDDEN, "Content-Length: " + "9" * 20), *BAD),
    "length 2^64 + 2":
        (post(LOGIN, b"{}" + HIDDEN, "Content-Length: 18446744073709551618"), *BAD),
    "no host": (get("GET /healthz HTTP/1.1"), *BAD),
    "host empty": (get("GET /healthz HTTP/1.1", "Host:"), *BAD),
    "two hosts": (get("GET /healthz HTTP/1.1", "Host: a.test", "Host: b.test"), *BAD),
    "same host twice": (get("GET /healthz HTTP/1.1", "Host: a.test", "host: a.test"), *BAD),
    "host with a path": (get("GET /healthz HTTP/1.1", "Host: a.test/x"), *BAD),
    "host with a user": (get("GET /healthz HTTP/1.1", "Host: x@a.test"), *BAD),
    "signature input twice": (post("/federation/v1/transactions", b"{}" + HIDDEN,
                                   "Content-Length: 2", "Signature-Input: a=()",
                                   "Signature-Input: b=()"), *BAD),
    "authorization twice": (get("GET /api/v1/account HTTP/1.1", "Host: a.test",
                                "Authorization: Bearer a", "Authorization: Bearer b"), *BAD),
    "header without a colon": (get("GET /healthz HTTP/1.1", "Host: a.test", "nothing"), *BAD),
    "header without a name": (get("GET /healthz HTTP/1.1", "Host: a.test", ": x"), *BAD),
    "empty line first": (b"\r\n" + get("GET /healthz HTTP/1.1", "Host: a.test"), *BAD),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n" + HIDDEN, *BAD),
    "HTTP/2.0": (get("GET /healthz HTTP/2.0", "Host: a.test"), *BAD),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN, *BAD),
    "two blanks": (get("GET  /healthz HTTP/1.1", "Host: a.test"), *BAD),
    "a blank in the path": (get("GET /health z HTTP/1.1", "Host: a.test"), *BAD),
    "something behind": (get("GET /healthz HTTP/1.1 x", "Host: a.test"), *BAD),
    "a whole URL": (get("GET http://b.test/healthz HTTP/1.1", "Host: a.test"), *BAD),
    "an authority": (get("CONNECT b.test:443 HTTP/1.1", "Host: b.test:443"), *BAD),
    "an asterisk": (get("OPTIONS * HTTP/1.1", "Host: a.test"), *BAD),
    "UTF-8 in the path": (get("GET /healthz/é HTTP/1.1", "Host: a.test"), *BAD),
    "a quote in the path": (get('GET /healthz" HTTP/1.1', "Host: a.test"), *BAD),
    "a method that is no token": (get("G@T /healthz HTTP/1.1", "Host: a.test"), *BAD),
    "an expectation": (post(LOGIN, b"{}" + HIDDEN, "Content-Length: 2", "Expect: miracles"), *BAD),
    "garbage": (os.urandom(64) + b"\0\r\n\r\n", *BAD),
    "head of 20 kB": (get("GET /healthz HTTP/1.1", "Host: a.test", "X: " + "x" * 20_000),
                      431, "HEADERS_TOO_LARGE"),
    "path of 20 kB": (get(f"GET /{'x' * 20_000} HTTP/1.1", "Host: a.test"),
                      431, "HEADERS_TOO_LARGE"),
    "head without an end": (b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 5000,
                            431, "HEADERS_TOO_LARGE"),
    "200 headers": (get("GET /healthz HTTP/1.1", "Host: a.test",
                        *(f"X-{i}: y" for i in range(200))), 431, "HEADERS_TOO_LARGE"),
    "body of 5 MB": (post("/api/v1/auth/register", b"x" * 5_000_000, "Content-Length: 5000000"),
                     413, "TOO_LARGE"),
    "body announced as 900 TB": (post(LOGIN, b"{}" + HIDDEN, "Content-Length: 900000000000000"),
                                 413, "TOO_LARGE"),
    "body of another kind": (b"POST " + LOGIN.encode() + b" HTTP/1.1\r\nHost: a.test\r\n"
                             b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}" + HIDDEN,
                             415, "UNSUPPORTED_MEDIA_TYPE"),
}


@pytest.mark.parametrize("data, status, code", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_no_second_request_is_smuggled(node, data, status, code):
    refused_raw(node, data, status, code)


def test_post_without_a_length(node):
    with connect(node) as sock:
        sock.sendall(post(LOGIN, b""))
        assert parse(sock.recv(65536))[0] == 411


def test_requests_behind_each_other_are_answered_in_order(node):
    with connect(node) as sock:
        last = HIDDEN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        sock.sendall(HIDDEN + HIDDEN.replace(b"healthz", b"nothing") + last)
        answer = read_all(sock)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]


@pytest.mark.parametrize("path", [
    "/api/v1/../../healthz", "/api//v1/account", "/api/v1/account/", "/API/v1/account",
    "/api/v1/account%2f", "/api/v1/%61ccount", "//", "/", "/healthz/", "/%00", "/healthz%00"])
def test_paths_are_taken_as_they_are(node, path):
    assert node.get(path)[0] == 404


@pytest.mark.parametrize("method", ["TRACE", "HEAD", "get", "PROPFIND", "POST"])
def test_other_methods(node, method):
    with connect(node) as sock:
        sock.sendall(f"{method} /healthz HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n"
                     "Connection: close\r\n\r\n".encode())
        assert read_all(sock).split(b" ")[1] == b"405"


# Slow, half-open and without TLS


def seconds_until_closed(sock):
    started = time.monotonic()
    answer = read_all(sock)
    assert answer is not None, "the connection stays open"
    return time.monotonic() - started, answer


def test_slow_head(node):
    """A byte now and then does not keep a connection open."""
    with connect(node) as sock:
        started = time.monotonic()
        sock.settimeout(0.2)
        answer = b""
        for byte in b"GET /healthz HTTP/1.1\r\nHost: a.test\r\nX: " + b"x" * 1000:
            try:
                sock.send(bytes([byte]))
                answer += sock.recv(65536)
            except TimeoutError:
                continue
            except (OSError, ssl.SSLError):
                break
            if answer:
                break
        assert time.monotonic() - started < TIMEOUT + 5  # a byte each 0.2 s: of 200 s
        assert parse(answer)[0] == 408


@pytest.mark.parametrize("data", [
    b"GET /healthz HTTP/1.1\r\n", post(LOGIN, b"{", "Content-Length: 2"),
    post("/api/v1/messages/send", b"", "Content-Length: 4000000",
         "Authorization: Bearer none")], ids=["head", "body", "body of a stranger"])
def test_unfinished_request(node, data):
    with connect(node) as sock:
        sock.sendall(data)
        seconds, answer = seconds_until_closed(sock)
        assert seconds < TIMEOUT + 3
        status, _, body = parse(answer)
        assert (status, body["error"]["code"]) in ((408, "REQUEST_TIMEOUT"),
                                                   (401, "UNAUTHORIZED"))


def test_half_open_connections_are_closed(node):
    """Without TLS, within its handshake, and after it without a request; many at once."""
    plain = [socket.create_connection((ADDRESS, node.port), 15) for _ in range(40)]
    begun = [socket.create_connection((ADDRESS, node.port), 15) for _ in range(40)]
    for sock in begun:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    quiet = [connect(node, 15) for _ in range(40)]
    assert node.get("/healthz")[0] == 200
    started = time.monotonic()
    for sock in plain + begun + quiet:
        assert read_all(sock) is not None
        sock.close()
    assert time.monotonic() - started < 3 * TIMEOUT + 2


@pytest.mark.parametrize("data", [
    HIDDEN, b"SSH-2.0-x\r\n", b"\0" * 1000, b"\xff" * 70_000, b"\x16\x03\x01\xff\xff" + b"x" * 100,
    b"\x15\x03\x03\x00\x02\x02\x28"], ids=["HTTP", "SSH", "NUL", "FF", "record", "alert"])
def test_garbage_instead_of_tls(node, data):
    with socket.create_connection((ADDRESS, node.port), 15) as sock:
        try:
            sock.sendall(data)
        except ConnectionError:
            return
        answer = read_all(sock)
        assert answer is not None and not answer.startswith(b"HTTP")


@pytest.mark.parametrize("reset", [False, True])
def test_connection_that_goes_in_the_middle(node, alice, bob, reset):
    body = json.dumps(make_message("bob@a.test", [bob.envelope()])).encode()
    for n in range(0, len(body), 40):
        with connect(node) as sock:
            sock.sendall(post("/api/v1/messages/send", body[:n], f"Content-Length: {len(body)}",
                              f"Authorization: Bearer {alice.access_token}"))
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert bob.mailbox()["items"] == []


# WebSockets


def frame(opcode, payload=b"", fin=True, reserved=0, masked=True, length=None):
    """Bytes of a frame, right or wrong. The mask is zero."""
    length = len(payload) if length is None else length
    head = bytes([fin << 7 | reserved << 4 | opcode])
    size = length if length < 126 else 126 if length < 65536 else 127
    head += bytes([masked << 7 | size])
    if size == 126:
        head += struct.pack(">H", length)
    elif size == 127:
        head += struct.pack(">Q", length)
    return head + (b"\0" * 4 if masked else b"") + payload


TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
GOOD = b'{"type":"ping"}'
FRAMES = {
    "binary": (frame(BINARY, GOOD), 1003),
    "not masked": (frame(TEXT, GOOD, masked=False), 1002),
    "reserved bits": (frame(TEXT, GOOD, reserved=4), 1002),
    "unknown opcode": (frame(3, GOOD), 1002),
    "unknown control": (frame(11, b""), 1002),
    "continues nothing": (frame(0, GOOD), 1002),
    "begins twice": (frame(TEXT, b"{", fin=False) + frame(TEXT, GOOD), 1002),
    "ping in parts": (frame(PING, b"x", fin=False), 1002),
    "ping of 126": (frame(PING, b"x" * 126), 1002),
    "length in the longer form":
        (bytes([0x81, 0x80 | 126]) + struct.pack(">H", len(GOOD)) + b"\0\0\0\0" + GOOD, 1002),
    "length with its top bit": (frame(TEXT, b"", length=2**63), 1009),
    "more than 4 MiB": (frame(TEXT, b"", length=(4 << 20) + 1), 1009),
    "more than 4 MiB in parts":
        (frame(TEXT, b" " * (4 << 20), fin=False) + frame(0, b"  "), 1009),
    "not UTF-8": (frame(TEXT, b'{"type":"\xff"}'), 1007),
    "close of one byte": (frame(CLOSE, b"x"), 1002),
    "close with a code of nobody's": (frame(CLOSE, struct.pack(">H", 1005)), 1002),
    "not JSON": (frame(TEXT, b"hello"), 4400),
    "empty": (frame(TEXT, b""), 4400),
    "an array": (frame(TEXT, b"[]"), 4400),
    "no type": (frame(TEXT, b"{}"), 4400),
    "type a number": (frame(TEXT, b'{"type":1}'), 4400),
    "unknown type": (frame(TEXT, b'{"type":"shout"}'), 4400),
    "a member twice": (frame(TEXT, b'{"type":"ping","type":"ping"}'), 4400),
    "two objects": (frame(TEXT, GOOD + GOOD), 4400),
    "nested deep": (frame(TEXT, b'{"type":"ping","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
                    4400),
    "too many arrays": (frame(TEXT, b'{"type":"ping","a":[' + b"[]," * 100_000 + b"0]}"), 4400),
    "ack without numbers": (frame(TEXT, b'{"type":"ack"}'), 4400),
    "ack of both": (frame(TEXT, b'{"type":"ack","up_to":1,"seqs":[1]}'), 4400),
    "ack of nothing": (frame(TEXT, b'{"type":"ack","seqs":[]}'), 4400),
    "ack of text": (frame(TEXT, b'{"type":"ack","up_to":"1"}'), 4400),
    "send of nothing": (frame(TEXT, b'{"type":"send","messages":[]}'), 4400),
    "send of 65": (frame(TEXT, b'{"type":"send","messages":[' + b",".join([b"{}"] * 65) + b"]}"),
                   4400),
    "auth without a token": (frame(TEXT, b'{"type":"auth"}'), 4400),
    "auth with another's": (frame(TEXT, b'{"type":"auth","token":"none"}'), 4401),
}


@pytest.mark.parametrize("data, code", FRAMES.values(), ids=FRAMES.keys())
def test_frame_ends_the_socket(alice, data, code):
    with alice.socket() as ws:
        ws.wait_for("queue_empty")
        try:
            ws._ws.sock.sendall(data)
        except (ConnectionError, ssl.SSLError):
            pass  # refused before all of it was sent
        assert ws.wait_closed() == code


def test_fragments_and_pings_are_fine(alice):
    with alice.socket() as ws:
        ws.wait_for("queue_empty")
        ws._ws.sock.sendall(frame(TEXT, GOOD[:5], fin=False) + frame(PING, b"x") +
                            frame(0, GOOD[5:]))
        ws.wait_for("pong")
        ws.ping()


@pytest.mark.parametrize("first", [
    {"type": "ping"}, {"type": "ack", "up_to": 1}, {"type": "send", "messages": [{}]},
    {"type": "auth", "token": "x"}, {"type": "auth", "token": "é" * 100}], ids=str)
def test_first_frame_must_be_a_good_auth(node, first):
    ws = Client(node).socket(token_in_header=False)
    ws.write(first)
    assert ws.wait_closed() == 4401


def test_strangers_have_small_frames(node):
    ws = Client(node).socket(token_in_header=False)
    ws._ws.sock.sendall(frame(TEXT, b"", length=8193))
    assert ws.wait_closed() == 1009


def test_messages_of_a_frame_fail_by_themselves(alice, bob):
    good = make_message("bob@a.test", [bob.envelope()])
    with alice.socket() as ws:
        results = ws.send([{}, good, {**good, "id": "x"}, {**good, "id": new_id(), "to": 1}, good])
        assert [result.get("code") for result in results] == \
            ["VALIDATION_ERROR", None, "VALIDATION_ERROR", "VALIDATION_ERROR", None]
        ws.ping()
    items = bob.mailbox()["items"]
    assert [item["id"] for item in items] == [good["id"]]
    bob.ack(up_to=items[-1]["seq"])


HANDSHAKE = ["GET /api/v1/ws HTTP/1.1", "Host: a.test", "Upgrade: websocket",
             "Connection: Upgrade", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]


@pytest.mark.parametrize("old, new", [
    ("GET", "POST"), ("Upgrade: websocket", "X: y"), ("Upgrade: websocket", "Upgrade: h2c"),
    ("Connection: Upgrade", "Connection: keep-alive"), ("Version: 13", "Version: 8"),
    ("AAAAAAAAAAAAAAAAAAAAAA==", "AAAA"), ("Sec-WebSocket-Key", "X-Key"),
    ("Connection: Upgrade", "Connection: Upgrade\r\nAuthorization: Bearer none"),
    ("Connection: Upgrade", "Connection: Upgrade\r\nContent-Length: 5")])
def test_handshake_is_refused(node, old, new):
    data = "\r\n".join([*HANDSHAKE, "", ""]).replace(old, new, 1).encode()
    with connect(node) as sock:
        sock.sendall(data + frame(TEXT, GOOD))
        answer = sock.recv(65536)
    status, _, body = parse(answer)
    assert 400 <= status < 500 and body["success"] is False


@pytest.mark.parametrize("held_back", [0, 10])
def test_tls_records_that_come_together_are_all_read(node, alice, held_back):
    """With the end of the handshake before them, and after one that makes the node wait: a token
    to be checked. The last record may come in parts."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = node.lab.tls.wrap_bio(into, out, server_hostname=node.domain)
    auth = json.dumps({"type": "auth", "token": alice.access_token}).encode()

    def receive(sock, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                sock.sendall(out.read())
                into.write(sock.recv(65536))

    with socket.create_connection((ADDRESS, node.port), 10) as sock:
        receive(sock, tls.do_handshake)
        for record in ["\r\n".join([*HANDSHAKE, "", ""]).encode(), frame(TEXT, auth),
                       *[frame(TEXT, GOOD)] * 100]:
            tls.write(record)
        data = out.read()
        sock.sendall(data[:len(data) - held_back])
        time.sleep(0.2)
        sock.sendall(data[len(data) - held_back:])
        answer = b""
        while answer.count(b"pong") < 100:
            answer += receive(sock, tls.read)


def test_unauthenticated_socket_is_closed_in_time(unauthenticated):
    code, seconds = unauthenticated()
    assert code == 4401 and 9 < seconds < 15


# JSON and values


def refused(person, method, path, body, status=400, code="VALIDATION_ERROR"):
    """`body` may be bytes, which are sent as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response, text = person._exchange(method, f"/api/v1/{path}", data, {
        "Content-Type": "application/json", "Authorization": f"Bearer {person.access_token}"})
    answer = json.loads(text)
    assert (response.status, answer["error"]["code"], answer["success"]) == (status, code, False)
    return answer["error"]["details"]


NOT_JSON = {
    "nothing": b"", "blank": b" ", "text": b"hello", "half": b'{"to":', "array": b"[]",
    "text in quotes": b'"to"', "null": b"null", "two objects": b"{}{}", "a NUL behind": b"{}\0",
    "a byte order mark": b"\xef\xbb\xbf{}", "UTF-16": '{"a":1}'.encode("utf-16"),
    "not UTF-8": b'{"to":"\xff"}', "overlong": b'{"to":"\xc0\xaf"}',
    "lone surrogate": b'{"to":"\\udc00"}', "control in a text": b'{"to":"\n"}',
    "U+0000": b'{"to":"bob@a.test\\u0000"}',
    "single quotes": b"{'to':1}", "comma at the end": b'{"to":1,}', "NaN": b'{"to":NaN}',
    "comment": b"{/**/}", "leading zero": b'{"timestamp":01}', "huge number": b'{"a":1e999}',
    "nested 17 deep": b'{"a":' + b"[" * 16 + b"]" * 16 + b"}",
    "nested 1,000,000 deep": b"[" * 1_000_000,
    "objects nested deep": b'{"a":' * 100_000,
    "too many arrays": b'{"a":[' + b"[]," * 100_000 + b"0]}",
    "the same member twice": b'{"to":"bob@a.test","to":"bob@a.test"}',
    "the same by an escape": b'{"to":"bob@a.test","\\u0074o":"bob@a.test"}',
    "twice, and unknown": b'{"x":1,"x":2}', "twice, further in": b'{"x":[{"y":1,"y":1}]}',
}


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_body_is_no_object(alice, data):
    refused(alice, "POST", "messages/send", data)


WRONG = {
    "to": [None, 1, "", "bob", "Bob@a.test", "bob@a", "bob@a.test.", "bob@a..test", "@a.test",
           "bob@", "bob@@a.test", "bob@-a.test", "bob@a.1", "bob@[127.0.0.1]", "bob @a.test",
           "bob@a.test\n", "bób@a.test", "bob@ä.test", "x" * 65 + "@a.test",
           "bob@" + "a" * 64 + ".test", "bob@" + "a." * 130 + "test", "bob@a_b.test",
           {"user": "bob"}, ["bob@a.test"]],
    "id": [None, 1, "", "x", "019B76DA-A800-7000-8000-0123456789AB",
           "019b76da-a800-4000-8000-0123456789ab", "019b76da-a800-7000-c000-0123456789ab",
           "019b76daa80070008000-0123456789ab", "{019b76da-a800-7000-8000-0123456789ab}"],
    "timestamp": [None, -1, 1.5, "0", 2**53 + 1, 1e20, True, []],
    "list_version": [None, -1, "0", 0.5, 2**53 + 1],
    "urgent": [None, 0, "true", []],
    "ephemeral": [None, 1, "false"],
    "expires_in": [None, -1, 0.5, "60", 2**31],
    "envelopes": [None, [], {}, "x", [1], [[]], [{}], [None]],
}
WRONG_ENVELOPE = {
    "device_id": [None, 0, 128, -1, 1.5, "1", True],
    "registration_id": [None, 0, 16384, "1"],
    "type": [None, -1, 256, "1"],
    "content": [None, 1, "A", "AA", "AAA", "AA=", "AAA=A", "AB==", "AAAA\n", "AA AA", "AA-_", "é",
                "=", "===="],
}


def cases(table):
    return [pytest.param(name, value, id=f"{name}={value!r:.30}")
            for name, values in table.items() for value in [..., *values]
            if not (value is ... and name in ("list_version", "urgent", "ephemeral",
                                              "expires_in"))]


def changed(values, name, value):
    result = {**values, name: value}
    if value is ...:
        del result[name]
    return result


def good_message(person):
    return make_message(person.address, [person.envelope()], urgent=True, ephemeral=False,
                        expires_in=60)


@pytest.mark.parametrize("name, value", cases(WRONG))
def test_wrong_member_of_a_message(alice, bob, name, value):
    details = refused(alice, "POST", "messages/send", changed(good_message(bob), name, value))
    assert details["field"].startswith(name)
    assert bob.mailbox()["items"] == []


@pytest.mark.parametrize("name, value", cases(WRONG_ENVELOPE))
def test_wrong_member_of_an_envelope(alice, bob, name, value):
    message = good_message(bob)
    message["envelopes"] = [changed(bob.envelope(), name, value)]
    details = refused(alice, "POST", "messages/send", message)
    assert details["field"].startswith("envelopes") and details["field"].endswith(name)
    assert bob.mailbox()["items"] == []


def test_device_twice_and_too_large_content(alice, bob):
    message = good_message(bob)
    message["envelopes"] *= 2
    refused(alice, "POST", "messages/send", message)
    message["envelopes"] = [bob.envelope(content=b64(bytes(96 * 1024 + 1)))]
    refused(alice, "POST", "messages/send", message, 413, "TOO_LARGE")
    message["envelopes"] = [bob.envelope(content=b64(bytes(4 << 20)))]
    refused(alice, "POST", "messages/send", message, 413, "TOO_LARGE")
    assert bob.mailbox()["items"] == []


def test_unknown_members_are_ignored(alice, bob):
    message = {**good_message(bob), "x": {"y": [1, None, "é", 1.5e3]}, "": 0, "TO": "eve@a.test"}
    message["envelopes"] = [bob.envelope(more=[[]], signature=None)]
    answer = alice.call("POST", "messages/send", message)
    item, = bob.mailbox()["items"]
    assert item["id"] == answer["id"] and "x" not in item
    bob.ack(seqs=[item["seq"]])


@pytest.mark.parametrize("address", [
    "bob", "BOB@a.test", "bob%40a.test%00", "bob@a.test%0a", "%ff@a.test", "bob@", "bob%2540a.test",
    "bob@a.test/x", "%"])
def test_bad_address_in_a_path(alice, address):
    for method, path in (("GET", "keys/devices"), ("GET", "keys/bundle"), ("PUT", "blocks")):
        with pytest.raises(ApiError) as error:
            alice.call(method, f"{path}/{address}", {} if method == "PUT" else None)
        assert error.value.status in (400, 404)


@pytest.mark.parametrize("number", ["0", "-1", "128", "1.0", "01", "x", "1%00", "99999999999"])
def test_bad_device_id_in_a_path(alice, number):
    with pytest.raises(ApiError) as error:
        alice.call("DELETE", f"devices/{number}", {})
    assert error.value.status in (400, 404)
    assert [device["device_id"] for device in alice.devices()["devices"]] == [1]


@pytest.mark.parametrize("query", [
    "after=-1", "after=x", "after=", "after=1&after=2", "limit=0", "limit=x", "limit=-5",
    "after=9999999999999999999", "after=%00", "after=1.5"])
def test_bad_query(alice, query):
    with pytest.raises(ApiError) as error:
        alice.call("GET", f"mailbox?{query}")
    assert (error.value.status, error.value.code) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize("token", [
    "", "x", "Bearer", "a.b.c", "é", "x" * 5000, "../../etc/passwd", "eyJhbGciOiJub25lIn0.e30."])
def test_bad_token(node, token):
    client = Client(node)
    client.access_token = token
    with pytest.raises(ApiError) as error:
        client.account()
    assert (error.value.status, error.value.code) == (401, "UNAUTHORIZED")


def test_token_with_a_changed_bit(node, alice):
    token = alice.access_token
    for i in range(0, len(token), max(1, len(token) // 40)):
        client = Client(node)
        client.access_token = token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1:]
        with pytest.raises(ApiError) as error:
            client.account()
        assert error.value.status == 401
    assert alice.account()["address"] == alice.address


@pytest.mark.parametrize("changes", [
    {"username": "A"}, {"username": ""}, {"username": "a b"}, {"username": "x" * 65},
    {"username": None}, {"password": "short"}, {"password": "x" * 1025}, {"password": 12345678},
    {"device": None}, {"device": {}}, {"device": []}, {"invite": 1}], ids=str)
def test_bad_registration(node, changes):
    body = {"username": "eve", "password": PASSWORD, "device": SealerDevice("x").public, **changes}
    with pytest.raises(ApiError) as error:
        Client(node).call("POST", "auth/register", body, public=True)
    assert (error.value.status, error.value.code) == (400, "VALIDATION_ERROR")


def device(**changes):
    public = SealerDevice("x").public
    return {name: value for name, value in {**public, **changes}.items() if value is not ...}


def other_key(name):
    """A prekey that another identity has signed."""
    return {name: {**SealerDevice("x").public["signed_prekey"]}}


@pytest.mark.parametrize("changes, status", [
    ({"scheme": "rot13"}, 400), ({"scheme": ...}, 400), ({"identity_key": "AAAA"}, 400),
    ({"identity_key": ...}, 400), ({"identity_key": b64(bytes(33))}, 400),
    ({"registration_id": 0}, 400), ({"registration_id": 16384}, 400),
    ({"signed_prekey": ...}, 400), ({"signed_prekey": {}}, 400), ({"signed_prekey": []}, 400),
    (other_key("signed_prekey"), 422), ({"one_time_prekeys": {}}, 400),
    ({"one_time_prekeys": [{"id": 2**32, "public_key": b64(bytes(32))}]}, 400),
    ({"one_time_prekeys": [{"id": -1, "public_key": b64(bytes(32))}]}, 400),
    ({"one_time_prekeys": [{"id": 1, "public_key": b64(bytes(31))}]}, 400),
    ({"pq_prekeys": [{"id": 1, "public_key": b64(bytes(10))}]}, 400),
    ({"pq_prekeys": [{"id": 1, "public_key": b64(bytes(10)), "signature": b64(bytes(64))}]}, 422),
    ({"name": "x" * 65}, 400), ({"name": 1}, 400)], ids=lambda value: str(value)[:40])
def test_bad_device(node, changes, status):
    with pytest.raises(ApiError) as error:
        Client(node).register("eve", device(**changes))
    assert (error.value.status, error.value.code) == \
        (status, "INVALID_SIGNATURE" if status == 422 else "VALIDATION_ERROR")


def test_nobody_of_these_was_registered(node):
    assert Person(node, "eve").address == "eve@a.test"


# Too much of it


def until_limited(call, most):
    """Calls until it is refused for its rate; answers how often it was not."""
    for i in range(most):
        try:
            call(i)
        except ApiError as error:
            if error.status == 429:
                assert error.code == "RATE_LIMITED" and int(error.retry_after) >= 1
                return i
    raise AssertionError(f"no limit within {most} calls")


@pytest.fixture(scope="module")
def limited(lab):
    return lab.nodes["limited.test"]


@pytest.fixture(scope="module")
def people(limited):
    return Person(limited, "alice"), Person(limited, "bob")


def test_rate_of_registrations(limited, people):
    assert until_limited(lambda i: Client(limited).register(
        f"user{i}", SealerDevice("x").public), 10) <= 6


def test_rate_of_logins(limited, people):
    client = Client(limited)

    def login(i):
        client.login_by_signature("alice", 1, "none", b64(bytes(64)))

    assert until_limited(login, 15) == 10  # for one account
    assert until_limited(lambda i: client.login_by_signature(
        f"user{i}", 1, "none", b64(bytes(64))), 25) <= 20


def test_rate_of_challenges(limited):
    client = Client(limited)
    assert 50 < until_limited(lambda _: client.challenge(), 90) < 90


def test_rate_of_claims(people):
    alice, bob = people
    bob.accept(alice.address)
    assert until_limited(lambda _: alice.claim(bob.address), 10) == 6
    assert bob.key_stats()["one_time_prekeys"] == 0


def test_rate_of_sends(people):
    alice, bob = people
    with alice.socket() as ws:
        results = []
        while len(results) < 600 and (not results or "code" not in results[-1]):
            results += ws.send([make_message(bob.address, [bob.envelope()]) for _ in range(60)])
    assert (results[-1]["code"], results[-1]["status_code"]) == ("RATE_LIMITED", 429)
    assert results[-1]["details"]["retry_after"] >= 1
    sent = sum("code" not in result for result in results)
    assert 300 <= sent < 360
    with pytest.raises(ApiError) as error:
        for _ in range(30):
            alice.send(bob.address, [bob.envelope()])
    assert (error.value.status, error.value.code) == (429, "RATE_LIMITED")
    assert int(error.value.retry_after) >= 1


# Afterwards


def test_nodes_serve_as_before(lab, node, alice, bob):
    with bob.socket() as ws:
        ws.wait_for("queue_empty")
        answer = alice.send("bob@a.test", [bob.envelope(content=b64(b"after all this"))])
        item, = ws.envelopes()
        assert item["id"] == answer["id"] and item["content"] == b64(b"after all this")
        ws.ack(up_to=item["seq"])
    assert lab.nodes["limited.test"].get("/readyz")[0] == 200
    alice.close(), bob.close()
    wait_until(lambda: node.metric("restante_connections_open") <= 5, "connections to end", 15)
    assert node.metric("restante_sockets_open") == 0
    assert node.metric("restante_http_refused_total") > len(SMUGGLED)


def test_logs_hold_no_secrets(lab):
    for node in lab.nodes.values():
        node.restart()  # and everything that was buffered is in there
        log = node.log_text()
        assert "event=login_failed" in log or node.domain == "a.test"
        assert "Sanitizer" not in log and "runtime error" not in log
        for secret in Person.secrets:
            assert secret not in log, f"{secret} is in the log of {node.domain}"
        for word in "Bearer", "@a.test", "@limited.test", b64(b"sealed"):
            assert word not in log, f"{word} is in the log of {node.domain}"
