# SPDX-License-Identifier: MIT
"""Rows that wait in mailboxes and outboxes, put straight into the database of a node that is
stopped; and what that database does with them."""

import json
import os
import re
import shutil
import statistics
import subprocess
import time

from lab import LabError
from limits import start
from stores import database

BYTES = 500      # of a body
ON_DISK = 1000   # of a row, with room for the log and the indexes
PIECE = 100_000  # rows of one transaction
BATCH = 2000     # rows that a node removes at once (src/api/node.c)
BATCHES = 5
DAY_MS = 86_400_000

MAILBOX = ("seq", "generation", "kind", "bytes", "expires_ms", "message_id", "sender",
           "sender_generation", "body")
OUTBOX = "destination_key", "position", "kind", "bytes", "expires_ms", "body"


def fill(node, user, rows):
    """Rows for the devices of accounts called `user`0, `user`1, ... in turn, for thirty days.
    How many a second were put in."""
    if shutil.disk_usage(node.folder).free < 2 * rows * ON_DISK:
        raise LabError(f"no room for {rows:,} rows in {node.folder}")
    db = database(node)
    generations = db.values("SELECT generation FROM device JOIN account USING (account_key)"
                            f" WHERE account.name LIKE '{user}%' ORDER BY generation")
    first = int(db.values("SELECT coalesce(max(value), 0) + 1 FROM meta"
                          " WHERE name = 'mailbox_seq'")[0])
    began = time.monotonic()
    for begin in range(first, first + rows, PIECE):
        db.append("mailbox", MAILBOX,
                  mailbox_rows(generations, begin, min(begin + PIECE, first + rows)))
    per_second = rows / (time.monotonic() - began)
    db.run(f"INSERT INTO meta (name, value) VALUES ('mailbox_seq', {first + rows})"
           " ON CONFLICT (name) DO UPDATE SET value = excluded.value")
    db.know()
    os.sync()  # what is measured next would share the disk with them
    return round(per_second)


def mailbox_rows(generations, begin, end):
    expires, body = int(time.time() * 1000) + 30 * DAY_MS, os.urandom(BYTES)
    for seq in range(begin, end):
        yield (seq, generations[seq % len(generations)], 1, BYTES, expires,
               seq.to_bytes(16, "big"), "sender@a.test", 1, body)


def fill_outboxes(node, domains, rows):
    """So many for each of these."""
    db = database(node)
    expires, body = int(time.time() * 1000) + 7 * DAY_MS, os.urandom(BYTES)
    for domain in domains:
        db.run(f"INSERT INTO destination (domain) VALUES ('{domain}')")
        key, = db.values(f"SELECT destination_key FROM destination WHERE domain = '{domain}'")
        db.append("outbox", OUTBOX, ((key, position, 1, BYTES, expires, body)
                                     for position in range(1, rows + 1)))
    db.know()


def expire(node, rows):
    """The time of the oldest is over."""
    database(node).run("UPDATE mailbox SET expires_ms = 1 WHERE seq IN"
                       f" (SELECT seq FROM mailbox ORDER BY seq LIMIT {rows})")


def ask(node, what, *arguments):
    """restante_limits about the database of a node that is stopped."""
    folder = node.folder / "data"
    process = start(node.lab, what, folder, node.options.get("store.url", ""), node.domain,
                    *arguments, errors=subprocess.PIPE)
    text, errors = process.communicate()
    if process.returncode != 0:
        raise LabError(f"restante_limits {what}: {errors}")
    return text


def batch_of(node, waiting):
    """What one batch of housekeeping takes that removes as much as it may."""
    batch = min(BATCH, waiting // 20)
    expire(node, 2 * BATCHES * batch)
    taken = [json.loads(ask(node, "expire", batch)) for _ in range(BATCHES)]
    return {"batch_rows": min(one["rows"] for one in taken),
            "batch_ms": round(statistics.median(one["ns"] for one in taken) / 1e6, 2)}


def plans(node):
    """Statement -> lines of its plan, for all that operations ask of mailboxes and outboxes."""
    found, sql = {}, None
    for line in ask(node, "plans").splitlines():
        if line.startswith("\t"):
            found[sql].append(line[1:])
        else:
            sql = line
            found[sql] = []
    return found


# A node does this once, when it starts.
AT_START = "SELECT count(*) FROM outbox"
# The whole of a table or of an index; and what belongs to all, for the sake of one device.
WHOLE = re.compile(r"\bSCAN (mailbox|outbox|o)\b|Seq Scan on (mailbox|outbox)\b"
                   r"|using \w+ on (mailbox|outbox)\b[^\n]*(?!\n *Index Cond)(\n|$)")
OF_ALL = re.compile(r"Index Cond: \(+seq [<>]")


def reads_too_much(sql, lines):
    """Does a statement read rows that it has no use for?"""
    plan = "\n".join(lines)
    if " AS front)" in sql:  # so many from the front of the table
        return "Seq Scan on" in plan
    if "generation = " in sql and OF_ALL.search(plan):
        return True
    return sql != AT_START and WHOLE.search(plan) is not None
