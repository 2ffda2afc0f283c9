#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./dev bench: runs cases (cases.py) and reports what it measured: as text on standard output,
as JSON in build/bench/CASE.json, as a drawing in CASE.svg where there is one. The binary is the
one that RESTANTE_BIN names, with restante_bench beside it."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import report as several  # noqa: E402
from against import compare  # noqa: E402
from cases import CASES  # noqa: E402
from lab import ROOT  # noqa: E402
from limits import add_shares, measure, work_text  # noqa: E402
from measure import medians  # noqa: E402
from plots import plots  # noqa: E402
from sizes import SIZES  # noqa: E402
from stores import CASES as STORE_CASES, ONLY_POSTGRES, STORES  # noqa: E402

LABELS = {"messages": "messages", "seconds_until_first": "s until the first one, then",
          "seconds": "s", "per_second": "messages/s",
          "seconds_until_stored": "s until all were in the mailboxes",
          "receipts": "receipts", "generator_cpu_us_per_message": "µs CPU of the generator",
          "helper_cpu_us_per_message": "µs CPU of the helper",
          "cpu_us_per_envelope": "µs CPU of the node for an envelope",
          "kb_per_socket": "KiB of the node for an idle socket",
          "filled": "rows", "filled_per_second": "of them a second",
          "batch_rows": "rows removed", "batch_ms": "ms with the commit",
          "busy": "refused because the node was busy", "expired": "rows expired meanwhile",
          "row_us": "µs CPU for a mailbox row, appended and deleted",
          "rows_per_second": "of them a second, with their commits",
          "websocket_us": "µs CPU for an empty WebSocket exchange",
          "http_us": "µs CPU for an empty HTTP exchange",
          "speed_against_one": "times the messages/s of one net thread",
          "cpu_against_one": "times its CPU a message",
          "sign_us": "µs for an Ed25519 signature", "verify_us": "µs to verify one",
          "tls_512_mb": "MB through TLS and back a CPU second, 512 bytes at a time",
          "tls_16384_mb": "MB, 16 KiB at a time"}


def print_row(row):
    for line in row_lines(row):
        print(line.replace("message", row.get("unit", "message")))


def row_lines(row):
    yield f"  {row['name']}"
    values = [f"{row[name]:,} {label}" for name, label in LABELS.items() if name in row]
    if values:
        yield f"    {', '.join(values)}"
    if "note" in row:
        yield f"    {row['note']}"
    for sql, lines in row.get("plans", {}).items():
        yield f"    {'READS TOO MUCH: ' if sql in row['too_much'] else ''}{sql}"
        yield from (f"      {line}" for line in lines)
    for name, what in ("latency_ms", "ms until it arrived"), ("answer_ms", "ms until the answer"):
        if row.get(name):
            yield f"    {what}: " + ", ".join(f"{q} {ms}" for q, ms in row[name].items()
                                              if q != "count")
    for domain, node in row.get("nodes", {}).items():
        yield f"    {domain}: {node_text(node)}"
        if "limit_us" in node:
            yield (f"      the libraries alone take {node['limit_us']} µs for "
                   f"{work_text(row['work'][domain])}: {node['share_of_limit']:.0%} of the limit")


def node_text(node):
    if "cpu_us_per_message" not in node:
        return memory_text(node)
    if "threads" not in node:
        return (f"{node['cpu_us_per_message']} µs CPU a message in all its processes, "
                f"{node['syncs_per_1000_messages']:g} syncs of its log per 1,000 messages, "
                f"{node['disk_bytes_per_message']:,} bytes written a message")
    threads = ", ".join(f"{name} {us}" for name, us in node["threads"].items())
    return (f"{node['cpu_us_per_message']} µs CPU a message ({threads}), "
            f"{node['commits_per_1000_messages']:g} commits and "
            f"{node['transactions_per_1000_messages']:g} transactions per 1,000 messages, "
            f"{node['disk_bytes_per_message']:,} bytes written a message, {memory_text(node)}")


def memory_text(node):
    return f"{node['rss_mb']} MiB (peak {node['peak_mb']})"


def measure_case(name, size, store):
    """Rows, and the limits that were measured beside them: those of SQLite."""
    with STORES[store]():
        rows = CASES[name](size)
    if store != "sqlite" or not any("work" in row for row in rows):
        return {"rows": rows}
    limits = measure(size.limits)
    add_shares(rows, limits)
    return {"rows": rows, "limits": limits}


def run(names, size, folder, runs=1, store="sqlite"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        print(f"{name}: {' '.join(CASES[name].__doc__.split())}", flush=True)
        measured = [measure_case(name, size, store) for _ in range(runs)]
        report = {"case": name, "size": dataclasses.asdict(size), **medians(measured)}
        for row in report["rows"]:
            print_row(row)
        sys.stdout.flush()
        (folder / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
        for file, drawing in plots(name, report["rows"]).items():
            (folder / file).write_text(drawing)


def numbers(text):
    return tuple(int(number) for number in text.split(","))


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("case", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--against", choices=compare.PEERS,
                        help="the cases of tests/bench/against, with another server beside")
    others.add_argument("--store", choices=STORES, default="sqlite",
                        help=f"postgres: the cases {', '.join(STORE_CASES)} with a server beside;"
                        " reports are in build/bench/postgres")
    others.add_argument("--report", action="store_true",
                        help="the cases that count most, five times, and the other servers beside:"
                        " a table in build/bench/report.md")
    parser.add_argument("--size", choices=SIZES, help="default: full, for --report report")
    parser.add_argument("--messages", type=int, help="of a flow as fast as it goes")
    parser.add_argument("--queued", type=int, help="messages that catchup queues")
    parser.add_argument("--rows", type=numbers, metavar="N,N...",
                        help="rows that wait in mailboxes, rising; 1 KB each on disk")
    parser.add_argument("--runs", type=int, help="of each case: medians are reported")
    options = parser.parse_args()
    cases = (compare.CASES if options.against else
             STORE_CASES if options.store == "postgres" else
             [name for name in CASES if name not in ONLY_POSTGRES])
    if options.report and options.case:
        parser.error("--report has cases of its own")
    for name in options.case:
        if name not in cases:
            parser.error(f"no case {name}: there are {', '.join(cases)}")
    given = {name: getattr(options, name) for name in ("messages", "queued")
             if getattr(options, name)}
    if options.rows:
        given["rows"] = tuple(filter(None, options.rows))
    size = SIZES[options.size or ("report" if options.report else "full")]
    size = dataclasses.replace(size, **given)
    folder = ROOT / "build/bench"
    if options.report:
        several.run(options.runs or 5, size, folder)
    elif options.against:
        compare.run(options.against, options.case or list(cases), size, folder, options.runs or 1)
    else:
        folder = folder / "postgres" if options.store == "postgres" else folder
        run(options.case or list(cases), size, folder, options.runs or 1, options.store)


if __name__ == "__main__":
    main()
