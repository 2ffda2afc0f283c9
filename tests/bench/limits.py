# SPDX-License-Identifier: MIT
"""What this machine and the libraries give without a node, and what share of that a node
reaches. The limit of a row is what its messages would take if a node did nothing but call the
libraries: so many rows appended to a mailbox and deleted, so many empty exchanges."""

import json
import subprocess

from generator import Accounts, Generator
from lab import Lab
from measure import thread_cpu
from processes import die_with_parent

CONNECTIONS, WINDOW = 16, 32

# What a message takes of a node, and which of the measured costs that is.
COSTS = {"rows": ("mailbox row", "row_us"),
         "websocket": ("WebSocket exchange", "websocket_us"),
         "http": ("HTTP exchange", "http_us")}


class LimitServer:
    """Answers everything with {}, by the library that a node uses."""

    def __init__(self, lab, certificate, key):
        self._process = start(lab, "serve", certificate, key)
        self.port = json.loads(self._process.stdout.readline())["port"]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._process.kill()
        self._process.communicate()

    def cpu_us(self):
        return sum(thread_cpu(self._process.pid).values()) / 1000


def start(lab, *arguments, errors=subprocess.DEVNULL):
    return subprocess.Popen([lab.binary.parent / "restante_limits", *map(str, arguments)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=errors, text=True, preexec_fn=die_with_parent)


def limit(lab, *arguments):
    return json.loads(start(lab, *arguments).communicate()[0])


def exchange_us(server, generator, accounts, messages, **options):
    """CPU of the server for one, without what connecting takes."""
    echo = generator.echo(accounts, messages, **options)
    began_us = server.cpu_us()
    echo.wait()
    return round((server.cpu_us() - began_us) / messages, 1)


def exchanges(lab, certificate, key, messages):
    path = lab.folder / "echo"
    with LimitServer(lab, certificate, key) as server:
        path.write_text("".join(f"x{i} limit.test {server.port} 1 1 -\n"
                                for i in range(CONNECTIONS)))
        generator, accounts = Generator(lab), Accounts(path, CONNECTIONS)
        return {"websocket_us": exchange_us(server, generator, accounts, messages, window=WINDOW),
                "http_us": exchange_us(server, generator, accounts, messages, http=1)}


def measure(messages):
    """All of them, within a few seconds."""
    with Lab() as lab:
        certificate, key = lab.authority.issue("limit.test")
        folder = lab.folder / "store"
        folder.mkdir()
        store = limit(lab, "store", folder, messages)
        ed25519 = limit(lab, "ed25519", max(messages // 20, 10))
        tls = limit(lab, "tls", certificate, key, 10_000 * messages)
        return {"row_us": store["cpu_us"], "rows_per_second": store["per_second"],
                "sign_us": round(ed25519["sign_ns"] / 1000, 1),
                "verify_us": round(ed25519["verify_ns"] / 1000, 1),
                "tls_512_mb": tls["mb_per_cpu_second_512"],
                "tls_16384_mb": tls["mb_per_cpu_second_16384"], "tls_cipher": tls["cipher"],
                **exchanges(lab, certificate, key, messages)}


def add_shares(rows, limits):
    """To the nodes of each row that says what a message takes of them."""
    for row in rows:
        for domain, work in row.get("work", {}).items():
            node = row["nodes"][domain]
            us = sum(count * limits[COSTS[name][1]] for name, count in work.items())
            node["limit_us"] = round(us, 1)
            node["share_of_limit"] = round(us / node["cpu_us_per_message"], 2)


def work_text(work):
    return " and ".join(f"{count:g} {COSTS[name][0]}{'' if count == 1 else 's'}"
                        for name, count in work.items())
