# SPDX-License-Identifier: MIT
"""The way to a node: a TCP proxy with weather. Other nodes reach the node only through it."""

import asyncio
from collections import Counter

from forwarder import UP, Forwarder

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


class Proxy(Forwarder):
    """Serves once started; changes its weather by itself until calm()."""
    READ_BYTES = 16 * 1024

    def __init__(self, target_port, chance):
        super().__init__([target_port])
        self.weather = CLEAR
        self.cuts = Counter()  # weather -> connections that ended by it
        self._chance = chance
        self._spoilt = set()   # links where bytes are missing: they can only hang until cut
        self._stormy = False

    # Weather

    def storm(self):
        self._stormy = True
        asyncio.run_coroutine_threadsafe(self._change_weather(), self.loop)

    def calm(self):
        self._stormy = False
        self.loop.call_soon_threadsafe(self._set_weather, CLEAR)

    async def _change_weather(self):
        while self._stormy:
            self._set_weather(self._chance.choice(WEATHERS))
            await asyncio.sleep(self._chance.uniform(0.1, LONGEST_WEATHER))

    def _set_weather(self, weather):
        for link in self._spoilt:
            self.cut(link)
        self._spoilt.clear()
        self.weather = weather

    # Connections

    async def accept(self, reader, writer):
        if self.weather == REFUSING:
            self.cuts[REFUSING] += 1
            return writer.transport.abort()
        await super().accept(reader, writer)

    def cut(self, link):
        self.cuts[self.weather] += link in self.links
        super().cut(link)

    async def passing(self, link, data, way):
        if self.weather in (HUNG, DEAF if way == UP else MUTE):
            self._spoilt.add(link)
        if link in self._spoilt:
            return b""
        if self.weather == SLOW:
            await asyncio.sleep(self._chance.uniform(0, 0.1))
        elif self.weather == THROTTLED:
            await asyncio.sleep(len(data) / THROTTLED_RATE)
        elif self.weather == CUT and self._chance.random() < CUT_CHANCE:
            link.over = True
            return data[:self._chance.randrange(len(data) + 1)]
        return data
