# SPDX-License-Identifier: MIT
"""A node whose database or folder is restored from a backup: it notices, keeps what it has
promised, and talks with others and its own devices as before. Letters are open here."""

import base64
import json
import os
import shutil
import sqlite3
import subprocess

import pytest

from client import ApiError
from lab import wait_until
from scenario import OPTIONS, acquaint, join, letter, link, post
from test_delivery import take, text, waiting
from test_operator import of


@pytest.fixture
def couple(lab):
    """a.test and b.test, serving, for one test alone."""
    nodes = [lab.add_node(domain, **OPTIONS) for domain in ("a.test", "b.test")]
    lab.start()
    return nodes


def database_of(node):
    return node.folder / "data/restante.db"


def back_up(node):
    """As the command .backup does; the node may run."""
    copy = node.folder / "backup.db"
    copy.unlink(missing_ok=True)
    source, target = sqlite3.connect(database_of(node)), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()
    copy.chmod(0o600)
    return copy


def without_log(node):
    for end in "-wal", "-shm":
        database_of(node).with_name("restante.db" + end).unlink(missing_ok=True)


def put_in_place(node, copy):
    """Another file under the name."""
    without_log(node)
    shutil.copy2(copy, node.folder / "new.db")
    os.rename(node.folder / "new.db", database_of(node))


def write_over(node, copy):
    """Into the file that is there, as cp does."""
    without_log(node)
    inode = database_of(node).stat().st_ino
    subprocess.run(["cp", copy, database_of(node)], check=True)
    assert database_of(node).stat().st_ino == inode


def restores(node):
    return node.metric("restante_restores_total")


def revision_of(node):
    wrapper = json.loads(node.get("/.well-known/restante")[1])
    return json.loads(base64.b64decode(wrapper["document"]))["revision"]


def keys_in(bundles):
    """By kind and public key. Nobody runs out here, so a last-resort key comes after a restore."""
    return {(kind, device[kind]["public_key"])
            for device in bundles["devices"] for kind in ("one_time_prekey", "pq_prekey")
            if device[kind]}


def say(sender, to, *words):
    for word in words:
        post(sender, letter(sender, to.address, word))


def hear(phone, *words):
    """These and no others, in this order; answers the highest seq."""
    items = take(phone, len(words))
    assert [text(item) for item in items] == list(words)
    return items[-1]["seq"]


def must_go_on(alice, bob):
    """Both ways, in order, once; answers the first seqs of each."""
    say(alice, bob, "to bob 1", "to bob 2")
    say(bob, alice, "to alice 1", "to alice 2")
    seqs = hear(alice, "to alice 1", "to alice 2"), hear(bob, "to bob 1", "to bob 2")
    say(alice, bob, "to bob 3")
    say(bob, alice, "to alice 3")
    hear(alice, "to alice 3")
    hear(bob, "to bob 3")
    return seqs


@pytest.mark.parametrize("which", [0, 1], ids=["sender", "receiver"])
def test_restored_database_keeps_every_promise(couple, signal, which):
    a, b = couple
    restored, other = couple[which], couple[1 - which]
    alice, bob = join(signal, a, "alice"), join(signal, b, "bob")
    owner, stranger = (alice, bob)[which], (bob, alice)[which]
    neighbour = join(signal, restored, "neighbour")
    acquaint(alice, bob, neighbour)
    say(alice, bob, "before")
    say(bob, alice, "before")
    hear(alice, "before")
    hear(bob, "before")
    handed_out = keys_in(neighbour.client.claim(owner.address))
    again = stranger.client.claim(owner.address, claim_id="remembered")
    handed_out |= keys_in(again)
    waits = letter(owner, stranger.address, "in the outbox of the backup")
    other.pause()
    post(owner, waits)
    copy = back_up(restored)
    other.resume()

    hear(stranger, "in the outbox of the backup")
    say(alice, bob, "since")
    say(bob, alice, "since")
    last = {owner: hear(owner, "since"), stranger: hear(stranger, "since")}
    handed_out |= keys_in(neighbour.client.claim(owner.address))
    handed_out |= keys_in(stranger.client.claim(owner.address))
    tablet = link(signal, owner)
    version = stranger.client.device_list(owner.address)["list_version"]
    revision = revision_of(restored)
    restored.stop()
    put_in_place(restored, copy)
    restored.start()

    assert "level=warn thread=net event=restored reason=other_file" in restored.log_text()
    assert (restores(restored), restores(other)) == (1, 0)
    assert revision_of(restored) > revision
    with pytest.raises(ApiError) as refused:
        tablet.client.devices()
    assert refused.value.status == 401
    for asker in neighbour, stranger:
        listed = asker.client.device_list(owner.address)
        assert len(listed["devices"]) == 1 and listed["list_version"] > version
        bundles = asker.client.claim(owner.address)
        assert bundles["devices"][0]["one_time_prekey"] is None
        assert not keys_in(bundles) & handed_out
    assert stranger.client.claim(owner.address, claim_id="remembered") == again

    alice_seq, bob_seq = must_go_on(alice, bob)
    assert alice_seq > last[alice] and bob_seq > last[bob]
    assert "event=stream_reset" in restored.log_text()
    assert "event=stream_reset" in other.log_text()
    assert waiting(alice) == waiting(bob) == []

    with owner.client.socket() as ws:
        low = ws.wait_for("prekeys_low")
        assert (low["one_time_prekeys"], low["pq_prekeys"]) == (0, 0)
    owner.client.upload_keys(**owner.signal.more_prekeys(one_time_prekeys=2, pq_prekeys=2))
    fresh = keys_in(stranger.client.claim(owner.address))
    assert len(fresh) == 2 and not fresh & handed_out
    restored.restart()
    assert restores(restored) == 0
    assert not keys_in(neighbour.client.claim(owner.address)) & (handed_out | fresh)


def restore_copied_folder(node, copy):
    shutil.rmtree(node.folder / "data")
    shutil.copytree(copy, node.folder / "data")


def restore_folder_written_over(node, copy):
    subprocess.run(["cp", "-a", f"{copy}/.", node.folder / "data"], check=True)


@pytest.mark.parametrize("restore, reason", [
    (restore_copied_folder, "other_file"),
    (restore_folder_written_over, "changed_while_stopped"),
], ids=["copied", "written over"])
@pytest.mark.parametrize("which", [0, 1], ids=["sender", "receiver"])
def test_restored_folder_is_noticed(couple, signal, which, restore, reason):
    node = couple[which]
    alice, bob = (join(signal, couple[0], "alice"), join(signal, couple[1], "bob"))
    acquaint(alice, bob)
    node.stop()
    copy = node.folder / "copy"
    shutil.copytree(node.folder / "data", copy)
    node.start()
    say(alice, bob, "since")
    say(bob, alice, "since")
    seqs = hear(alice, "since"), hear(bob, "since")
    owner, stranger = (alice, bob)[which], (bob, alice)[which]
    handed_out = keys_in(stranger.client.claim(owner.address))
    revision = revision_of(node)
    node.stop()
    restore(node, copy)
    node.start()

    assert f"event=restored reason={reason}" in node.log_text()
    assert revision_of(node) > revision
    assert not keys_in(stranger.client.claim(owner.address)) & handed_out
    assert all(new > old for new, old in zip(must_go_on(alice, bob), seqs))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_database_written_over_is_noticed(couple, signal, end):
    """The file stays the same one. A node that was killed has not said how it was left, but
    that it went on after the backup: at every start, and once a minute."""
    a, b = couple
    alice, bob = join(signal, a, "alice"), join(signal, b, "bob")
    acquaint(alice, bob)
    copy = back_up(a)
    if end == "kill":
        a.restart()
    handed_out = keys_in(bob.client.claim(alice.address))
    getattr(a, end)()
    write_over(a, copy)
    a.start()
    assert restores(a) == 1
    assert not keys_in(bob.client.claim(alice.address)) & handed_out
    must_go_on(alice, bob)


def test_restored_tells_what_cannot_be_seen(couple, signal):
    """Beside a running node it counts from the next start on, and once."""
    a, b = couple
    alice, bob = join(signal, a, "alice"), join(signal, b, "bob")
    acquaint(alice, bob)
    status, said = of(a, "restored")
    assert status == 0 and "next starts" in said
    assert keys_in(bob.client.claim(alice.address))
    a.kill()
    a.start()
    assert "event=restored reason=marked" in a.log_text()
    assert restores(a) == 1
    assert bob.client.claim(alice.address)["devices"][0]["one_time_prekey"] is None
    must_go_on(alice, bob)
    a.restart()
    assert restores(a) == 0


def test_restored_needs_a_database(lab):
    node = lab.add_node("a.test", **OPTIONS)
    status, said = of(node, "restored")
    assert status == 1 and "no database yet" in said
    assert not database_of(node).exists()


def test_nothing_else_is_taken_for_a_restore(lab, signal):
    """Neither ends of any kind, nor backups and commands, running or stopped."""
    node = lab.add_node("a.test", **OPTIONS)
    lab.start()
    alice, bob = join(signal, node, "alice"), join(signal, node, "bob")
    acquaint(alice, bob)

    def end_and_start(end):
        getattr(node, end)()
        assert of(node, "check")[0] == of(node, "invite")[0] == 0
        back_up(node)
        node.start()
        assert restores(node) == 0

    for end in "stop", "kill", "kill", "stop", "stop":
        assert of(node, "check")[0] == of(node, "invite")[0] == 0
        back_up(node)
        end_and_start(end)
    assert "event=restored" not in node.log_text()
    assert alice.client.claim(bob.address)["devices"][0]["one_time_prekey"]
    assert wait_until(lambda: (node.folder / "data/generation").stat().st_mode & 0o777 == 0o600,
                      "a private file")
