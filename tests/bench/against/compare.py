# SPDX-License-Identifier: MIT
"""Runs the cases with Restante and with another server, and prints them side by side; as JSON
they are in build/bench/against-NAME.json."""

import dataclasses
import importlib
import json

from cases import file_limit
from measure import median

from .cases import CASES
from .sides import Restante, Xmpp, package_version

PEERS = ("prosody", "ejabberd")
LABELS = {
    "messages": "messages", "connections": "connections", "per_second": "messages/s",
    "per_cpu_second": "messages per CPU second of the servers",
    "cpu_us_per_message": "µs CPU a message, all servers",
    "disk_bytes_per_message": "bytes written a message", "rss_mb": "MiB, all servers",
    "kb_per_connection": "KiB a connection",
    "generator_cpu_us_per_message": "µs CPU a message of the generator",
}


def sides_of(case, peer):
    """The other stores matter only where messages are stored."""
    stores = list(peer.STORES.items())
    used = stores if case.startswith("offline") else stores[:1]
    return [Restante(), *(Xmpp(peer.KIND, store, one_of) for store, one_of in used)]


def print_case(name, rows):
    """rows: by the name of the side."""
    print(f"{name}: {' '.join(CASES[name].__doc__.split())}")
    for same in zip(*rows.values()):
        line(f"  {same[0]['name']}", rows)
        for key, label in LABELS.items():
            if key in same[0]:
                line(f"    {label}", [f"{row[key]:,}" for row in same])
        for quantile in same[0].get("latency_ms", {}):
            if quantile != "count":
                line(f"    ms until it arrived, {quantile}",
                     [row["latency_ms"][quantile] for row in same])


def line(label, values):
    print(f"{label:<46}" + "".join(f"{value:>18}" for value in values))


def run(name, cases, size, folder, runs=1):
    peer = importlib.import_module(f".{name}", __package__)
    print(f"{peer.KIND.NAME} {package_version(peer.PACKAGE)}", flush=True)
    file_limit()
    report = {"peer": name, "version": package_version(peer.PACKAGE),
              "size": dataclasses.asdict(size), "cases": {}}
    for case in cases:
        rows = median([{side.name: CASES[case](side, size) for side in sides_of(case, peer)}
                       for _ in range(runs)])
        print_case(case, rows)
        report["cases"][case] = rows
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"against-{name}.json").write_text(json.dumps(report, indent=1) + "\n")
