# SPDX-License-Identifier: MIT
"""Those who are compared, each as the cases use it: a world of servers, and a generator that
speaks with them."""

import subprocess
from contextlib import contextmanager

from cases import OPTIONS, received
from generator import Generator
from lab import Lab
from measure import Watch, memory_mb

from .server import ServerWatch, XmppNames


class Restante:
    name = "Restante"
    window = 32  # messages of one sender that may be under way
    one_of = 1   # for messages that are stored

    @contextmanager
    def world(self, *domains, tls=True):
        """A generator and servers of these domains, running."""
        options = {**OPTIONS, "listen__max_connections": 20_000}
        if not tls:
            options |= {"listen__certificate": "", "listen__key": ""}
        with Lab() as lab:
            nodes = [lab.add_node(domain, **options) for domain in domains]
            lab.start()
            yield Generator(lab, tls), *nodes

    def watch(self, *nodes):
        return Watch(*nodes)

    def wait_stored(self, node, messages):
        """Until messages of another server that were sent are in the mailboxes."""
        received(node, messages)

    def rss_kb(self, node):
        return memory_mb(node.pid)[1] * 1024


class XmppGenerator(Generator):
    prefix = "xmpp-"


class Xmpp:
    window = 128  # there is an answer to every 64th message only

    def __init__(self, kind, store, one_of):
        self._kind = kind
        self._store = store
        self.one_of = one_of
        self.name = f"{kind.NAME}, {store}"

    @contextmanager
    def world(self, *domains, tls=True):
        with Lab(names=XmppNames) as lab:
            servers = [self._kind(lab, domain, self._store) for domain in domains]
            lab.start()
            for server in servers:
                server.port = server.port if tls else server.plain_port
            yield XmppGenerator(lab, tls), *servers

    def watch(self, *servers):
        return ServerWatch(*servers)

    def wait_stored(self, server, messages):
        """They are when the generator has sent them."""

    def rss_kb(self, server):
        return server.rss_kb()


def package_version(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], text=True,
                          capture_output=True)
    return done.stdout or "of unknown version"
