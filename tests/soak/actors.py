# SPDX-License-Identifier: MIT
"""Who lives through the storm: devices that send numbered letters until each has an answer,
and devices that take them, by WebSocket or HTTP. All note what they were told and got; check.py
judges it."""

import http.client
import itertools
import json
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field

import websocket

from client import ApiError, Client, SocketClosed, make_message, new_id
from sealer import SealerDevice, b64

LOST = (OSError, http.client.HTTPException, websocket.WebSocketException, SocketClosed)
PASSWORD = "correct horse battery"
TIMEOUT = 10
SENDER_PAUSE = 0.2        # seconds, at most
FRAME_LETTERS = 8         # of one sender, at once
GIVE_UP_CHANCE = 0.3      # after "not now" and nothing else
FORGET_ACK_CHANCE = 0.1
FORGET_ANSWER_CHANCE = 0.03  # as if it had been lost
MAX_DEVICES = 10
LATER = {429, 500, 502, 503, 504, 507}
MISMATCH = {409, 410}


def digest_of(content):
    return zlib.crc32(content.encode())


@dataclass
class Letter:
    """One message, and what its sender knows of it."""
    id: str
    sender: tuple   # (address, device id)
    to: str
    devices: tuple  # ids, one envelope each
    content: str
    order: tuple    # of acceptance among the letters of its sender
    list_version: int
    registration_ids: tuple
    digest: int
    lost: bool = False      # an attempt was not answered
    answer: str = None      # "accepted" or "refused", once that is known
    missed: tuple = ()      # devices that it did not fit into, says the answer

    def message(self):
        envelopes = [{"device_id": device, "registration_id": registration_id, "type": 1,
                      "content": self.content}
                     for device, registration_id in zip(self.devices, self.registration_ids)]
        return make_message(self.to, envelopes, id=self.id, list_version=self.list_version)


@dataclass
class Mailbox:
    """What one device got. Repeats are told by seq."""
    items: dict = field(default_factory=dict)   # seq -> item, its content as a digest
    acked: set = field(default_factory=set)     # seqs whose ack was answered
    wrong: list = field(default_factory=list)
    repeats: int = 0
    highest: int = 0

    def take(self, items):
        for item in items:
            seq = item["seq"]
            if "content" in item:
                item["content"] = digest_of(item["content"])
            if seq not in self.items:
                if seq <= self.highest:
                    self.wrong.append(f"item {seq} came after item {self.highest}: {item}")
                self.highest = max(self.highest, seq)
                self.items[seq] = item
                continue
            self.repeats += 1
            if self.items[seq] != item:
                self.wrong.append(f"two items have seq {seq}: {self.items[seq]} and {item}")
            if seq in self.acked:
                self.wrong.append(f"item {seq} came again after its acknowledgement: {item}")

    def of_kind(self, kind):
        """In order of seq."""
        return [item for _, item in sorted(self.items.items()) if item["kind"] == kind]


class Device(threading.Thread):
    """One device of an account and its thread."""

    def __init__(self, world, node, name, chance):
        super().__init__(daemon=True, name=name)
        self.world = world
        self.chance = chance
        self.keys = SealerDevice(name, one_time_prekeys=0)
        self.client = Client(node, timeout=TIMEOUT)
        self.username = None
        self.mailbox = Mailbox()

    @property
    def key(self):
        return self.client.address, self.client.device_id

    def __str__(self):
        return f"{self.client.address}/{self.client.device_id} ({self.name})"

    def register(self, username):
        self.username = username
        self.client.register(username, self.keys.public, password=PASSWORD)
        return self

    def link(self, username):
        self.username = username
        self.client.link_by_password(username, PASSWORD, self.keys.public)
        return self

    def pause(self, longest):
        time.sleep(self.chance.uniform(0, longest))

    def renew(self):
        """New tokens; a refresh whose answer was lost has ended the session, so that the
        device has to log in."""
        try:
            self.client.refresh()
        except LOST:
            pass
        except ApiError as refused:
            if refused.status == 401:
                self.log_in(self.client.device_id)

    def log_in(self, device_id):
        """True if this device has that id."""
        try:
            nonce = self.client.challenge()["nonce"]
            text = self.client.login_text(self.username, device_id, nonce)
            self.client.login_by_signature(self.username, device_id, nonce,
                                           b64(self.keys.sign(text)))
            return True
        except (ApiError, *LOST):
            return False

    def attempt(self, call, *arguments):
        """The answer, or None: not now."""
        try:
            return call(*arguments)
        except LOST:
            return None
        except ApiError as refused:
            self.world.refusals[refused.status, refused.code] += 1
            if refused.status == 401:
                self.renew()
            elif refused.status not in LATER:
                raise
            return None

    # Taking what is in the mailbox

    def take_page(self):
        """True if there was something, which has been acknowledged then."""
        items = self.client.mailbox(limit=self.chance.choice((5, 50, 100)))["items"]
        self.mailbox.take(items)
        if items and self.chance.random() > FORGET_ACK_CHANCE:
            self.client.ack(seqs=[item["seq"] for item in items])
            self.mailbox.acked.update(item["seq"] for item in items)
        return bool(items)

    def take_frame(self, socket, frame):
        """Answers whether the frame brought items of the mailbox."""
        kinds = {"envelope": "envelopes", "receipt": "receipts", "send_result": "results"}
        items = frame.get(kinds.get(frame["type"]), [])
        if not items or "seq" not in items[0]:
            return False
        self.mailbox.take([{"kind": frame["type"], **item} for item in items])
        if self.chance.random() > FORGET_ACK_CHANCE:
            socket.ack(up_to=items[-1]["seq"])
        return True

    def empty(self):
        """Takes all there is, once the storm is over; answers whether there was anything."""
        found = False
        while True:
            page = self.attempt(self.client.mailbox)
            if page is None:
                continue
            if not page["items"]:
                return found
            found = True
            self.mailbox.take(page["items"])
            self.attempt(self.client.ack, page["items"][-1]["seq"])


class Sender(Device):
    """Sends rounds of letters until the world says that it is enough."""

    def __init__(self, world, node, name, chance, recipients):
        super().__init__(world, node, name, chance)
        self.recipients = recipients
        self.letters = {}        # id -> Letter
        self._lists = {}         # address -> device list
        self._rounds = itertools.count(1)
        self._results_seen = 0

    def run(self):
        try:
            while not self.world.enough.is_set():
                self._round()
                self.pause(SENDER_PAUSE)
        except Exception as problem:  # for the report: a thread has nobody to raise it to
            self.mailbox.wrong.append(f"{self} stopped: {problem!r}")
            raise

    def _round(self):
        self._learn_lists()
        number = next(self._rounds)
        letters = [self._write(number, place, to)
                   for place, to in enumerate(self._choose_recipients())]
        if self._send(letters) > 1:
            # Which of them was accepted first cannot be known.
            for letter in letters:
                letter.order = (number, 0)

    def _choose_recipients(self):
        known = [to for to in self.recipients if to in self._lists]
        return self.chance.choices(known, k=self.letters_at_once()) if known else []

    def _learn_lists(self):
        for to in self.recipients:
            if to not in self._lists:
                found = self.attempt(self.client.device_list, to)
                if found and found["devices"]:
                    self._lists[to] = found

    def _forget_stale_lists(self):
        items = self.mailbox.of_kind("send_result")
        for item in items[self._results_seen:]:
            if item["code"] == "stale_list":
                self._lists.pop(item["to"], None)
        self._results_seen = len(items)

    def _write(self, number, place, to):
        listed = self._lists[to]
        text = {"from": self.key, "round": number, "place": place,
                "pad": "x" * self.chance.choice((0, 0, 0, 100, 1000, 20_000))}
        content = b64(json.dumps(text).encode())
        letter = Letter(new_id(), self.key, to,
                        tuple(device["device_id"] for device in listed["devices"]),
                        content, (number, place), listed["list_version"],
                        tuple(device["registration_id"] for device in listed["devices"]),
                        digest_of(content))
        self.letters[letter.id] = letter
        return letter

    def _send(self, letters):
        """Until all have an answer. Answers how many attempts it took."""
        waiting = letters
        for attempt in itertools.count():
            if not waiting:
                self._forget_stale_lists()
                return attempt
            if attempt > 0:
                self.pause(0.3)
            answers = self.offer(waiting)
            if self.chance.random() < FORGET_ANSWER_CHANCE:
                answers = [None] * len(waiting)
            waiting = [letter for letter, answer in zip(waiting, answers)
                       if not self._note(letter, answer)]

    def _note(self, letter, answer):
        """True if that was the end of it."""
        if answer is None:
            letter.lost = True
        elif "status" in answer:
            letter.answer = "accepted"
            letter.missed = tuple(answer.get("over_quota", ()))
        else:
            self._note_refusal(letter, answer)
        if letter.answer is not None:
            letter.content = None  # nobody needs it any more
        return letter.answer is not None

    def _note_refusal(self, letter, answer):
        status = answer["status_code"]
        self.world.refusals[status, answer["code"]] += 1
        if status == 401:
            self.renew()
        elif status in LATER:
            # Once an attempt was not answered, only an answer tells what became of it.
            if not letter.lost and self.chance.random() < GIVE_UP_CHANCE:
                letter.answer = "refused"
        else:
            letter.answer = "refused"
            if status in MISMATCH:
                self._lists.pop(letter.to, None)
            else:
                self.mailbox.wrong.append(f"{self}: {letter.id} to {letter.to} got {answer}")


    def ask_statuses(self, most):
        """What the node says became of some of the letters, once the storm is over."""
        accepted = [id for id, letter in self.letters.items() if letter.answer == "accepted"]
        self.renew()
        asked = self.chance.sample(accepted, min(most, len(accepted)))
        return {id: self.client.message(id)["status"] for id in asked}


class HttpSender(Sender):
    """One letter at a time."""

    def letters_at_once(self):
        return 1

    def offer(self, letters):
        letter, = letters
        if self.chance.random() < 0.1:
            self.attempt(self.take_page)
        try:
            return [self.client.call("POST", "messages/send", letter.message())]
        except LOST:
            return [None]
        except ApiError as refused:
            if refused.code is None:
                return [None]
            return [{"code": refused.code, "status_code": refused.status,
                     "details": refused.details}]


class SocketSender(Sender):
    """Several letters in a frame, over the socket that also brings its mailbox."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._socket = None

    def letters_at_once(self):
        return self.chance.randint(1, FRAME_LETTERS)

    def offer(self, letters):
        if self._socket is None:
            self._socket = self.attempt(self.client.socket)
        if self._socket is None:
            return [None] * len(letters)
        try:
            return self._exchange(letters)
        except SocketClosed as closed:
            if closed.code == 4401:
                self.renew()
        except LOST:
            pass
        self._socket.drop()
        self._socket = None
        return [None] * len(letters)

    def _exchange(self, letters):
        self._socket.write({"type": "send", "messages": [letter.message() for letter in letters]})
        while True:
            frame = self._socket.read(TIMEOUT)
            if not self.take_frame(self._socket, frame) and frame["type"] == "send_result":
                return frame["results"]


class Receiver(Device):
    """Takes its letters in various ways, and is away at times; a lazy one is always away."""

    def __init__(self, world, node, name, chance, lazy=False):
        super().__init__(world, node, name, chance)
        self.lazy = lazy

    def run(self):
        try:
            while not self.world.closing.is_set():
                self.attempt(self.chance.choice((self._by_socket, self._by_http, self._be_away)))
        except Exception as problem:  # for the report: a thread has nobody to raise it to
            self.mailbox.wrong.append(f"{self} stopped: {problem!r}")
            raise

    def _be_away(self):
        self.pause(2)

    def _by_http(self):
        for _ in range(20):
            if self.lazy or not self.take_page():
                return self.pause(0.2)

    def _by_socket(self):
        if self.lazy:
            return
        until = time.monotonic() + self.chance.uniform(0.5, 5)
        socket = self.client.socket()
        try:
            while time.monotonic() < until and not self.world.closing.is_set():
                try:
                    self.take_frame(socket, socket.read(0.5))
                except TimeoutError:
                    continue
        except SocketClosed as closed:
            if closed.code == 4401:
                self.renew()
            raise
        finally:
            socket.drop()


class LateReceiver(Receiver):
    """A device that joins its account in the middle of the storm."""

    def __init__(self, world, node, name, chance, username, after):
        super().__init__(world, node, name, chance)
        self.username = username
        self._after = after

    def run(self):
        self.world.enough.wait(self._after)
        if self._join_account():
            super().run()

    def _join_account(self):
        """A link whose answer was lost may have been made: then the device is in the account
        and can log in."""
        while not self.world.closing.is_set():
            if self.attempt(self.link, self.username):
                return True
            if any(self.log_in(device_id) for device_id in range(2, MAX_DEVICES + 1)):
                return True
        return False


def counts(devices):
    """Items of all mailboxes by kind, and send_results by code."""
    kinds, codes = Counter(), Counter()
    for device in devices:
        for item in device.mailbox.items.values():
            kinds[item["kind"]] += 1
            if item["kind"] == "send_result":
                codes[item["code"]] += 1
    return kinds, codes
