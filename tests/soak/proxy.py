# SPDX-License-Identifier: MIT
"""The way to a node: a TCP proxy with weather. Other nodes reach the node only through it."""

import asyncio
import threading
from collections import Counter

from lab import ADDRESS

READ_BYTES = 16 * 1024
THROTTLED_RATE = 64 * 1024  # bytes a second
CUT_CHANCE = 0.2            # for each piece of data
LONGEST_WEATHER = 2.0       # seconds

CLEAR = "clear"
SLOW = "slow"             # each piece of data waits up to 100 ms
THROTTLED = "throttled"
CUT = "cut"               # connections end at a random byte
REFUSING = "refusing"     # new connections are reset
HUNG = "hung"             # accepts, and nothing comes through
DEAF = "deaf"             # nothing gets to the node
MUTE = "mute"             # nothing comes back from the node
WEATHERS = (CLEAR, CLEAR, SLOW, SLOW, THROTTLED, CUT, CUT, REFUSING, HUNG, DEAF, MUTE)


class Link:
    """One connection through the proxy: both its ends."""

    def __init__(self, *writers):
        self.writers = writers
        self.spoilt = False  # bytes are missing: it can only hang until it is cut

    def abort(self):
        for writer in self.writers:
            writer.transport.abort()


class Proxy(threading.Thread):
    """Serves once started; changes its weather by itself until calm()."""

    def __init__(self, target_port, chance):
        super().__init__(daemon=True)
        self.port = None
        self.weather = CLEAR
        self.cuts = Counter()  # weather -> connections that ended by it
        self._target_port = target_port
        self._chance = chance
        self._links = set()
        self._stormy = False
        self._loop = asyncio.new_event_loop()
        self._serving = threading.Event()

    def run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()

    def start(self):
        super().start()
        self._serving.wait()

    async def _serve(self):
        server = await asyncio.start_server(self._accept, ADDRESS, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._serving.set()

    # Weather

    def storm(self):
        self._stormy = True
        asyncio.run_coroutine_threadsafe(self._change_weather(), self._loop)

    def calm(self):
        self._stormy = False
        self._loop.call_soon_threadsafe(self._set_weather, CLEAR)

    def cut_all(self):
        self._loop.call_soon_threadsafe(self._cut, lambda link: True)

    async def _change_weather(self):
        while self._stormy:
            self._set_weather(self._chance.choice(WEATHERS))
            await asyncio.sleep(self._chance.uniform(0.1, LONGEST_WEATHER))

    def _set_weather(self, weather):
        self._cut(lambda link: link.spoilt)
        self.weather = weather

    def _cut(self, which):
        for link in filter(which, list(self._links)):
            self._end(link)

    def _end(self, link):
        self.cuts[self.weather] += 1
        self._links.discard(link)
        link.abort()

    # Connections

    async def _accept(self, reader, writer):
        if self.weather == REFUSING:
            return self._end(Link(writer))
        try:
            back_reader, back_writer = await asyncio.open_connection(ADDRESS, self._target_port)
        except OSError:  # the node is down: so is the way to it
            return writer.transport.abort()
        link = Link(writer, back_writer)
        self._links.add(link)
        await asyncio.gather(self._pump(link, reader, back_writer, DEAF),
                             self._pump(link, back_reader, writer, MUTE))
        self._links.discard(link)

    async def _pump(self, link, reader, writer, swallowing):
        try:
            while data := await reader.read(READ_BYTES):
                data = await self._weathered(link, data, swallowing)
                if data:
                    writer.write(data)
                    await writer.drain()
            for end in link.writers:
                end.close()
        except OSError:
            link.abort()

    async def _weathered(self, link, data, swallowing):
        """What is left of the data."""
        if self.weather in (HUNG, swallowing):
            link.spoilt = True
        if link.spoilt:
            return b""
        if self.weather == SLOW:
            await asyncio.sleep(self._chance.uniform(0, 0.1))
        elif self.weather == THROTTLED:
            await asyncio.sleep(len(data) / THROTTLED_RATE)
        elif self.weather == CUT and self._chance.random() < CUT_CHANCE:
            self._loop.call_soon(self._end, link)
            link.spoilt = True  # if anything more comes before that
            return data[:self._chance.randrange(len(data) + 1)]
        return data
