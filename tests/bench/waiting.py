# SPDX-License-Identifier: MIT
"""Rows that wait in mailboxes, put straight into the database of a node that is stopped."""

import shutil
import sqlite3
import time

from lab import LabError

BYTES = 500      # of a body
ON_DISK = 1000   # of a row, with room for the log and the indexes
PIECE = 100_000  # rows of one transaction
DAY_MS = 86_400_000


def database(node):
    return sqlite3.connect(node.folder / "data/restante.db")


def fill(node, user, rows):
    """Rows for the devices of accounts called `user`0, `user`1, ... in turn, for thirty days."""
    if shutil.disk_usage(node.folder).free < rows * ON_DISK:
        raise LabError(f"no room for {rows:,} rows in {node.folder}")
    with database(node) as db:
        generations = [generation for generation, in db.execute(
            "SELECT generation FROM device JOIN account USING (account_key)"
            " WHERE account.name GLOB ?", (f"{user}[0-9]*",))]
        first = db.execute("SELECT coalesce(max(value), 0) + 1 FROM meta"
                           " WHERE name = 'mailbox_seq'").fetchone()[0]
        for begin in range(first, first + rows, PIECE):
            append(db, generations, begin, min(begin + PIECE, first + rows))
        db.execute("INSERT INTO meta VALUES ('mailbox_seq', ?1)"
                   " ON CONFLICT (name) DO UPDATE SET value = ?1", (first + rows,))
    db.close()


def append(db, generations, begin, end):
    expires = int(time.time() * 1000) + 30 * DAY_MS
    db.executemany(
        "INSERT INTO mailbox (seq, generation, kind, bytes, expires_ms, message_id, sender,"
        f" sender_generation, body) VALUES (?, ?, 1, {BYTES}, {expires}, randomblob(16),"
        f" 'sender@a.test', 1, randomblob({BYTES}))",
        ((seq, generations[seq % len(generations)]) for seq in range(begin, end)))
    db.commit()


def expire(node, rows):
    """The time of the oldest is over."""
    with database(node) as db:
        db.execute("UPDATE mailbox SET expires_ms = 1 WHERE seq IN"
                   " (SELECT seq FROM mailbox ORDER BY seq LIMIT ?)", (rows,))
    db.close()
