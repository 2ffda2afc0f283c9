# SPDX-License-Identifier: MIT
"""XMPP servers in the lab: what Prosody and ejabberd have in common. They run as an ordinary
user, with all their files in a folder of the lab, and find each other by its name server."""

import os
import shutil
import socket
from pathlib import Path

from lab import ADDRESS, Child, NameServer, free_port, wait_until
from measure import FamilyWatch, family, memory_mb

USER, GROUP = "nobody", "nogroup"


class XmppNames(NameServer):
    """With SRV records of XMPP (RFC 6120, section 3.2.1). They name a host that the system
    knows too: ejabberd asks it for addresses."""

    def __init__(self, folder):
        super().__init__(folder)
        self.xmpp_servers = {}  # domain -> port for other servers

    def _lines(self):
        yield from super()._lines()
        for domain, port in self.xmpp_servers.items():
            yield f"srv-host=_xmpp-server._tcp.{domain},localhost,{port}"


class Server:
    """One server. A kind of server says its NAME, its command, its environment and its
    configuration; it uses what is here for the rest, as a Lab wants it of a node."""

    def __init__(self, lab, domain, store):
        self.lab = lab
        self.domain = domain
        self.store = store
        self.folder = lab.folder / domain
        self.port, self.plain_port, self.federation_port = (free_port() for _ in range(3))
        self._child = None
        self.folder.mkdir()
        self.certificate, self.key = (
            Path(shutil.copy(path, self.folder / f"tls{path.suffix}"))
            for path in lab.authority.issue(domain))
        self.configure()
        if os.geteuid() == 0:
            lab.folder.chmod(0o711)
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, USER, GROUP)
        lab.nodes[domain] = self
        lab.names.addresses[domain] = [ADDRESS]
        lab.names.xmpp_servers[domain] = self.federation_port

    def start(self, wait=True):
        as_user = (["setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups",
                    "--pdeathsig=KILL"] if os.geteuid() == 0 else [])
        self._child = Child(self.domain, [*as_user, *self.command()],
                            self.lab.folder / f"{self.domain}.log",
                            env={**os.environ, "HOME": str(self.folder), **self.environment()})
        if wait:
            self.wait_ready()

    def environment(self):
        return {}

    def wait_ready(self):
        wait_until(self._ready, f"{self.domain} to be ready", 60)

    def _ready(self):
        self._child.must_run()
        for port in self.port, self.plain_port, self.federation_port:
            with socket.socket() as s:
                if s.connect_ex((ADDRESS, port)) != 0:
                    return False
        return True

    def running(self):
        return self._child is not None and self._child.running()

    def resume(self):
        self._child.resume()

    def stop(self):
        """Nothing of it is kept; to end properly after thousands of connections takes Prosody
        minutes."""
        self._child.must_run()
        self.kill()

    def kill(self):
        self._child.kill()
        self._child = None

    @property
    def pid(self):
        return self._child.pid

    def rss_kb(self):
        return sum(memory_mb(pid)[1] for pid in family(self.pid)) * 1024


class ServerWatch:
    """What the kernel says about servers during the block: measure.Watch for others."""

    def __init__(self, *servers):
        self._servers = servers

    def __enter__(self):
        self._watches = [FamilyWatch(server.pid) for server in self._servers]
        return self

    def __exit__(self, *exc):
        if exc[0] is None:
            for watch in self._watches:
                watch.end()

    def report(self, messages):
        return {server.domain: {**watch.report(messages),
                                "rss_mb": round(server.rss_kb() / 1024, 1)}
                for server, watch in zip(self._servers, self._watches)}
