#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The other side of test_transfer and test_discovery: HTTPS with strange answers.

web_server.py FOLDER [well-known]: makes a certificate there, prints the port it listens on and
1 or 0, whether it could also take port 443 of 127.77.0.1 where it should, and ends when its
standard input does. /.well-known/restante comes from the file `document` in the
folder, with the status in the file `status` if there is one.
"""

import os
import socket
import ssl
import subprocess
import sys
import threading
import time

NAMES = ["a.example", "node.a.example", "b.example"]
folder = sys.argv[1]
connections = 0


def make_certificate():
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", folder + "/key.pem",
         "-out", folder + "/certificate.pem", "-addext",
         "subjectAltName=" + ",".join("DNS:" + name for name in NAMES)],
        check=True, stderr=subprocess.DEVNULL)


def plain(body, headers=(), status="200 OK"):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def document():
    try:
        with open(folder + "/status", encoding="ascii") as file:
            status = file.read()
    except FileNotFoundError:
        status = "200 OK"
    with open(folder + "/document", "rb") as file:
        return plain(file.read(), ["Content-Type: application/json"], status)


SIGNED = ["Content-Type: application/json", "Content-Digest:  sha-256=:AA==: ",
          "signature: restante=:BB==:", "SIGNATURE-INPUT:\trestante=()", "Retry-After: 7"]


def answer(head, body, number, name):
    method, path, _ = head.split("\r\n", 1)[0].split(" ")
    if path == "/.well-known/restante":
        return document()
    if path == "/ok":
        said = f"{method} sni={name} connection={number} body={body.decode()}\n{head}"
        return plain(said.encode(), SIGNED, "409 Conflict")
    if path == "/redirect":
        return plain(b"", ["Location: https://a.example/ok"], "302 Found")
    if path == "/large":
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 200000
    if path == "/large-length":
        return plain(b"x" * 200000)
    if path == "/duplicate":
        return plain(b"{}", SIGNED + ["Signature: restante=:CC==:"])
    if path == "/early":
        return (b"HTTP/1.1 103 Early Hints\r\nSignature: early\r\n\r\n" + plain(b"{}"))
    if path == "/trailers":
        return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Signature\r\n\r\n"
                b"2\r\n{}\r\n0\r\nSignature: late\r\n\r\n")
    if path == "/headers":
        return plain(b"{}", [f"X-{i}: " + "y" * 1000 for i in range(60)])
    if path == "/slow":
        time.sleep(5)
    return b""


def trickle(sock, size):
    """So many bytes a second, for a minute."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
    for _ in range(60):
        sock.sendall(size * b"x")
        time.sleep(1)


def serve_one(raw, context):
    global connections
    names = []
    context.sni_callback = lambda sock, name, _: names.append(name)
    try:
        with context.wrap_socket(raw, server_side=True) as sock:
            connections += 1
            number, data = connections, b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = sock.recv(65536)
                    if not more:
                        return
                    data += more
                head, data = data.split(b"\r\n\r\n", 1)
                if b" /deaf " in head:
                    time.sleep(60)
                    return
                if b" /trickle/" in head:
                    trickle(sock, int(head.split(b" ")[1].rsplit(b"/")[-1]))
                    return
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                while len(data) < length:
                    data += sock.recv(65536)
                body, data = data[:length], data[length:]
                reply = answer(head.decode(), body, number, names[-1] if names else None)
                if not reply:
                    return
                sock.sendall(reply)
                if b"Connection: close" in reply:
                    return
    except OSError:
        pass


def serve(listener):
    while True:
        raw, _ = listener.accept()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder + "/certificate.pem", folder + "/key.pem")
        threading.Thread(target=serve_one, args=(raw, context), daemon=True).start()


def main():
    make_certificate()
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    well_known = None
    if "well-known" in sys.argv[2:]:
        try:
            well_known = socket.create_server(("127.77.0.1", 443))
            threading.Thread(target=serve, args=(well_known,), daemon=True).start()
        except OSError:
            pass
    print(listener.getsockname()[1], int(well_known is not None), flush=True)
    sys.stdin.read()
    os._exit(0)


main()
