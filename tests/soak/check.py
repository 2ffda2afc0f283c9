# SPDX-License-Identifier: MIT
"""The promise, checked against what everybody noted: each accepted letter is in the mailbox of
each addressed device exactly once and in order, or its sender was told why not."""

from collections import Counter, defaultdict

from actors import digest_of

# What may become of a message here. In the first case it is in no mailbox, in the second in
# those of the other devices. The peer has signed that it is bad.
NOWHERE = {"stale_list", "bad"}
BY_NODES = {"stale_list", "over_quota"}
BY_PEER = {"stale_list", "bad"}


class Check:
    """`peer_mailboxes`: (address, device id) -> items of the lying peer, which may tell the
    sender anything, also of what it has taken. `statuses`: message id -> status, for some."""

    def __init__(self, senders, receivers, peer_mailboxes, statuses):
        self.problems = []
        self.delivered = 0
        self._devices = [*senders, *receivers]
        self._letters = {id: letter for sender in senders
                         for id, letter in sender.letters.items()}
        self._senders = {sender.key: sender for sender in senders}
        self._peer_users = {address for address, _ in peer_mailboxes}
        self._statuses = statuses
        self._mailboxes = {device.key: device.mailbox.of_kind("envelope")
                           for device in receivers}
        for key, items in peer_mailboxes.items():
            self._mailboxes[key] = [{**item, "content": digest_of(item["content"])}
                                    for item in items]
        self._ids = {key: {item["id"] for item in items}
                     for key, items in self._mailboxes.items()}
        self._results = {}  # message id -> send_result

    def run(self):
        self._what_devices_saw()
        self._read_results()
        for key, items in self._mailboxes.items():
            self._mailbox(key, items)
        for letter in self._letters.values():
            self._letter(letter)
        for id, status in self._statuses.items():
            self._status(id, status)
        self._receipts()
        return self.problems

    def _say(self, text):
        self.problems.append(text)

    def _what_devices_saw(self):
        for device in self._devices:
            for text in device.mailbox.wrong:
                self._say(f"{device}: {text}")

    def _read_results(self):
        for sender in self._senders.values():
            for item in sender.mailbox.of_kind("send_result"):
                letter = self._letters.get(item["id"])
                if letter is None or letter.sender != sender.key or letter.to != item["to"]:
                    self._say(f"{sender} was told of a message that is not its own: {item}")
                elif item["id"] in self._results:
                    self._say(f"{sender} was told twice: {self._results[item['id']]}, {item}")
                elif item["code"] not in (BY_PEER if item["to"] in self._peer_users
                                          else BY_NODES):
                    self._say(f"{sender} was told what cannot be: {item}")
                self._results[item["id"]] = item

    def _mailbox(self, key, items):
        """What is there was sent so, once, and in order."""
        seen = Counter(item["id"] for item in items)
        last = {}
        for item in items:
            letter = self._letters.get(item["id"])
            if letter is None or not self._is_as_sent(letter, key, item):
                self._say(f"{key} has what nobody sent: {item}, {letter}")
                continue
            before = last.get(letter.sender)
            if before and before.order > letter.order:
                self._say(f"{key}: {letter.id} of {letter.sender}, round {letter.order}, came "
                          f"after {before.id}, round {before.order}")
            last[letter.sender] = letter
        for id, times in seen.items():
            if times > 1:
                self._say(f"{key} has {id} {times} times")
        self.delivered += len(seen)

    @staticmethod
    def _is_as_sent(letter, key, item):
        return (letter.answer == "accepted" and
                (letter.to, letter.sender) == (key[0], (item["from"], item["from_device"])) and
                key[1] in letter.devices and item["content"] == letter.digest)

    def _letter(self, letter):
        if letter.answer is None:
            self._say(f"{letter.id} of {letter.sender} to {letter.to} has no answer")
        if letter.answer != "accepted":
            return
        for device in letter.devices:
            self._copy(letter, (letter.to, device), self._results.get(letter.id))

    def _copy(self, letter, key, result):
        """One letter and one of the devices it is for."""
        there = letter.id in self._ids_at(key)
        told = device_was_told(letter, key[1], result)
        if not there and not told:
            self._say(f"LOST: {letter.id} of {letter.sender}, round {letter.order}, is not at "
                      f"{key}; result: {result}")
        if there and told and letter.to not in self._peer_users:
            self._say(f"{letter.id} of {letter.sender} is at {key}, but its sender was told "
                      f"{result or letter.missed}")

    def _ids_at(self, key):
        return self._ids.get(key, set())

    def _status(self, id, status):
        """The node says the same as its send_result."""
        result = self._results.get(id)
        failed = result is not None and result["code"] in NOWHERE
        if status not in (("failed",) if failed else ("stored", "delivered")):
            self._say(f"{id} has the status {status}, its sender was told {result}")

    def _receipts(self):
        """Each copy is receipted once at most, and only where it has arrived."""
        got = defaultdict(Counter)
        for sender in self._senders.values():
            for item in sender.mailbox.of_kind("receipt"):
                for device in item["devices"]:
                    got[item["id"]][item["from"], device] += 1
        for id, keys in got.items():
            for key, times in keys.items():
                if times > 1 or id not in self._ids_at(key):
                    self._say(f"{times} receipts for {id} at {key}, which has it: "
                              f"{id in self._ids_at(key)}")


def device_was_told(letter, device, result):
    """Has the sender heard that this device does not get it?"""
    if device in letter.missed:
        return True
    if result is None:
        return False
    return result["code"] in NOWHERE or device in result.get("devices", ())
