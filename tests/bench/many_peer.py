#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""many_peer.py CERTIFICATE KEY: federated nodes of all domains *.good.test at one port, each
with a server key of its own (docs/protocol.md, section 4). They take everything that comes,
without asking who sends it, and answer with a signature; what they take they print: flow, time
of sending, time of arrival.

Besides there is a port where nobody listens, and one where nobody answers. Prints the ports as
JSON first, and ends with its standard input."""

import asyncio
import base64
import json
import socket
import ssl
import struct
import sys
import time
from functools import lru_cache
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "peer")]

from discovery import WELL_KNOWN, ServerKey, sign_document  # noqa: E402
from wire import (DAY, REQUEST_TAG, RESPONSE_TAG, Asked, b64, content_digest,  # noqa: E402
                  dump_json, now_ms, parse_signature, request_components, response_components,
                  sign)

ADDRESS = "127.0.0.1"
CONTENT_HEAD = struct.Struct("<IIIIQQ")  # tests/bench/content.h
NAMES = [name for name, _ in request_components(Asked(*[""] * 5))]


@lru_cache(maxsize=None)
def server_key(domain):
    return ServerKey("k1")


def document(domain):
    key, now, url = server_key(domain), now_ms(), f"https://{domain}"
    return dump_json(sign_document(dump_json({
        "server": domain, "federation": url, "api": url, "keys": [key.published()],
        "root_key": None, "revision": now, "previous": None, "issued_at": now,
        "valid_until": now + 7 * DAY}), {key.kid: key.secret}))


def arrived(body):
    now = time.monotonic_ns()
    for item in body["items"]:
        for envelope in item.get("envelopes", []):
            head = CONTENT_HEAD.unpack_from(base64.b64decode(envelope["content"]))
            print(json.dumps([head[0], head[5], now]), flush=True)


def transaction(domain, path, headers, data):
    signed = parse_signature(headers, NAMES, REQUEST_TAG)
    body = json.loads(data)
    arrived(body)
    answer = dump_json({"acked": body["seq"] + len(body["items"]) - 1, "results": []})
    digest = content_digest(answer)
    asked = Asked(domain, path, signed.digest, domain, signed.nonce)
    return answer, {"Content-Digest": digest,
                    **sign(response_components(200, digest, asked), RESPONSE_TAG,
                           now_ms() // 1000, asked.nonce, domain, server_key(domain))}


async def read_request(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value.strip()
               for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return head[0].split(" ")[1], headers, body


async def serve(reader, writer):
    try:
        while True:
            path, headers, body = await read_request(reader)
            more = {}
            if path == WELL_KNOWN:
                answer = document(headers["host"])
            else:
                answer, more = transaction(headers["host"], path, headers, body)
            lines = ["HTTP/1.1 200 OK", "Content-Type: application/json",
                     f"Content-Length: {len(answer)}",
                     *(f"{name}: {value}" for name, value in more.items()), "", ""]
            writer.write("\r\n".join(lines).encode() + answer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(certificate, key):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = await asyncio.start_server(serve, ADDRESS, 0, ssl=tls, backlog=1000)
    with socket.socket() as refusing, socket.socket() as hanging:
        refusing.bind((ADDRESS, 0))  # and never listens
        hanging.bind((ADDRESS, 0))
        hanging.listen(4096)  # the kernel accepts, and nobody reads
        ports = {"good": server.sockets[0], "hanging": hanging, "refusing": refusing}
        print(json.dumps({kind: s.getsockname()[1] for kind, s in ports.items()}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
