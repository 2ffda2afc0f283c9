# SPDX-License-Identifier: MIT
"""What happens to the nodes: killed, paused, without disk or name server, cut off."""

import contextlib
import ctypes
import itertools
import os
import resource
import shutil
import subprocess
import time
from collections import Counter

from lab import LabError

CLONE_NEWNS = 0x20000
DISK_SIZE = "512m"
FILL_BYTES = 64 * 1024
STARTS = 3
PORT_TAKEN = "Address already in use"  # by a connection that happens to begin there

_libc = ctypes.CDLL(None, use_errno=True)


def private_mounts():
    """From here on what this process mounts is its own and ends with it. False: it may not
    mount anything. To be called before there are threads."""
    return os.geteuid() == 0 and _libc.unshare(CLONE_NEWNS) == 0 and \
        subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True).returncode == 0


class SmallDisk:
    """A file system of its own for the data of a node, which can be filled."""

    def __init__(self, node):
        self._folder = node.folder / "data"
        self._kept = node.folder / "data.kept"
        self._filler = self._folder / "filler"
        self._folder.rename(self._kept)
        self._folder.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE},mode=700", "tmpfs",
                        str(self._folder)], check=True)
        shutil.copytree(self._kept, self._folder, dirs_exist_ok=True)
        shutil.rmtree(self._kept)

    def fill(self):
        with open(self._filler, "wb") as file, contextlib.suppress(OSError):
            for begin in itertools.count(0, FILL_BYTES):
                os.posix_fallocate(file.fileno(), begin, FILL_BYTES)

    def free(self):
        self._filler.unlink(missing_ok=True)

    def keep(self):
        """For those who look at the folder later, when the file system is gone."""
        shutil.copytree(self._folder, self._kept)
        subprocess.run(["umount", "-l", str(self._folder)], check=True)
        self._folder.rmdir()
        self._kept.rename(self._folder)


class NoRoom:
    """The process of a node may write no file beyond its first byte: to the node that is much
    the same as a full disk."""

    def __init__(self, node):
        self._node = node
        _, self._hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self):
        self._limit(1)

    def free(self):
        self._limit(self._hard)

    def _limit(self, size):
        resource.prlimit(self._node.pid, resource.RLIMIT_FSIZE, (size, self._hard))

    def keep(self):
        pass


class Chaos:
    """One blow after the other, until there were enough."""

    def __init__(self, lab, proxies, chance, may_mount):
        self.nodes = list(lab.nodes.values())
        self.kills = Counter()     # domain -> how often
        self.done = Counter()      # what -> how often
        self._names = lab.names
        self._proxies = proxies
        self._chance = chance
        self._disks = {self.nodes[0]: (SmallDisk if may_mount else NoRoom)(self.nodes[0]),
                       self.nodes[1]: NoRoom(self.nodes[1])}

    def rage(self, seconds, kills):
        until = time.monotonic() + seconds
        blows = [self._kill] * 6 + [self._kill_all, self._pause, self._cut_all,
                                    self._stop_names, self._fill_disk]
        while time.monotonic() < until or self.kills.total() < kills:
            self._chance.choice(blows)()
            for node in self.nodes:
                self._must_run(node)
            time.sleep(self._chance.uniform(0, 0.4 * seconds / kills))

    @staticmethod
    def _must_run(node):
        if not node.running():
            raise LabError(f"{node.domain} ended by itself, see {node.log}")

    def _some_node(self):
        return self._chance.choice(self.nodes)

    def _wait(self, longest):
        time.sleep(self._chance.uniform(0, longest))

    # Blows

    def _kill(self):
        node = self._some_node()
        self._kill_one(node)
        if self._chance.random() < 0.2:  # in the middle of its start
            node.start(wait=False)
            self._wait(0.3)
            self._kill_one(node)
        self._wait(1)
        self._start(node)

    def _kill_all(self):
        for node in self.nodes:
            self._kill_one(node)
        self._wait(1)
        for node in self.nodes:
            self._start(node)

    def _kill_one(self, node):
        self._must_run(node)
        self.kills[node.domain] += 1
        node.kill()

    def _start(self, node):
        self.done["starts"] += 1
        for left in reversed(range(STARTS)):
            try:
                return node.start()
            except LabError as problem:
                if left == 0 or PORT_TAKEN not in str(problem):
                    raise
                time.sleep(0.5)

    def _pause(self):
        node = self._some_node()
        self.done["pauses"] += 1
        node.pause()
        self._wait(2)
        node.resume()

    def _cut_all(self):
        for proxy in self._proxies:
            proxy.cut_all()

    def _stop_names(self):
        """A node that starts meanwhile knows no addresses."""
        self.done["DNS stops"] += 1
        self._names.stop()
        if self._chance.random() < 0.5:
            self._kill()
        self._wait(2)
        self._names.apply()

    def _fill_disk(self):
        """A node may refuse to start on a full disk, but not to start later."""
        node, disk = self._chance.choice(list(self._disks.items()))
        self.done["full disks"] += 1
        disk.fill()
        self._wait(2)
        if self._chance.random() < 0.3:
            self._kill_one(node)
            node.start(wait=False)
            self._wait(1)
        disk.free()
        if not node.running():
            self._start(node)
        node.wait_ready()

    def restart_all(self):
        """In order, which is where a sanitizer speaks up."""
        for node in self.nodes:
            node.stop()
            self._start(node)

    def end(self, keep):
        for node in self.nodes:
            if node.running():
                node.kill()
        for disk in self._disks.values() if keep else ():
            disk.keep()
