# SPDX-License-Identifier: MIT
"""What TCP proxies are made of: each connection is forwarded to the first of the ports
that takes it, and what comes through is up to passing().

    forwarder = Forwarder([port])
    forwarder.start()                 # connect to forwarder.port
"""

import asyncio
import threading

ADDRESS = "127.0.0.1"
UP, DOWN = "up", "down"  # to the server, and back


class Link:
    """One connection: the writers of both its ends."""

    def __init__(self, *writers):
        self.writers = writers
        self.over = False  # to be cut behind what is on its way

    def abort(self):
        for writer in self.writers:
            writer.transport.abort()


class Forwarder(threading.Thread):
    READ_BYTES = 64 * 1024

    def __init__(self, targets):
        super().__init__(daemon=True)
        self.port = None
        self.loop = asyncio.new_event_loop()
        self._targets = targets
        self.links = set()
        self._serving = threading.Event()

    def start(self):
        super().start()
        self._serving.wait()

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())
        self.loop.run_forever()

    def cut_all(self):
        self.loop.call_soon_threadsafe(lambda: [self.cut(link) for link in list(self.links)])

    # For those that are made of it

    def targets(self):
        """The ports to try for the next connection."""
        return self._targets

    async def passing(self, link, data, way):
        """What is left of the data."""
        return data

    def cut(self, link):
        self.links.discard(link)
        link.abort()

    async def accept(self, reader, writer):
        for port in self.targets():
            try:
                back_reader, back_writer = await asyncio.open_connection(ADDRESS, port)
            except OSError:  # the server is down: so is the way to it
                continue
            link = Link(writer, back_writer)
            self.links.add(link)
            await asyncio.gather(self._pump(link, reader, back_writer, UP),
                                 self._pump(link, back_reader, writer, DOWN))
            self.links.discard(link)
            return
        writer.transport.abort()

    async def _serve(self):
        server = await asyncio.start_server(self.accept, ADDRESS, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._serving.set()

    async def _pump(self, link, reader, writer, way):
        try:
            while data := await reader.read(self.READ_BYTES):
                writer.write(await self.passing(link, data, way))
                if link.over:
                    return self.cut(link)
                await writer.drain()
            for end in link.writers:
                end.close()
        except OSError:
            link.abort()
