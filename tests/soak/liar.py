# SPDX-License-Identifier: MIT
"""The independent node (tests/peer) as a liar: it answers transactions in every wrong way,
until it becomes honest()."""

import time
from collections import Counter

from lab_peer import LabPeer
from peer import TRANSACTIONS, _Handler
from wire import Refusal, Reply, TryLater, dump_json, now_ms, parse_json

LIE_CHANCE = 0.6
HOUR_SECONDS = 3600


def error(status, code):
    return Refusal(status, code).body


def last_of(request):
    body = parse_json(request.body)
    return body["seq"] + len(body["items"]) - 1


# Lies. Each takes the peer, the request and what a signed reply has to be about.

def slow(peer, request, asked):
    time.sleep(peer.chance.uniform(0.1, 2))
    return peer.honest(request)


def bad_signature(peer, request, asked):
    reply = peer.honest(request)
    return reply._replace(headers={**reply.headers, "Signature": f"restante=:{'A' * 86}==:"})


def other_body(peer, request, asked):
    reply = peer.honest(request)
    return reply._replace(body=reply.body + b" ")


def taken_but_cut(peer, request, asked):
    reply = peer.honest(request)
    body = reply.body[:peer.chance.randrange(len(reply.body))]
    return Reply(reply.status, {**reply.headers, "Content-Length": str(len(reply.body)),
                                "Connection": "close"}, body)


def taken_but_busy(peer, request, asked):
    peer.honest(request)
    return busy(peer, request, asked)


def taken_but_reset(peer, request, asked):
    peer.honest(request)
    return reset(peer, request, asked)


def huge(peer, request, asked):
    return peer.signed_reply(asked, 200, {"acked": last_of(request), "results": [],
                                          "more": "x" * (5 << 20)})


def result_of_what_was_not_sent(peer, request, asked):
    last = last_of(request)
    return peer.signed_reply(asked, 200, {"acked": last, "results": [
        {"seq": last + 1, "code": "bad"}]})


def wrong_acked(peer, request, asked):
    return peer.signed_reply(asked, 200, {"acked": last_of(request) + peer.chance.choice((-1, 1)),
                                          "results": []})


def unknown_code(peer, request, asked):
    last = last_of(request)
    return peer.signed_reply(asked, 200, {"acked": last, "results": [
        {"seq": last, "code": "whatever"}]})


def no_object(peer, request, asked):
    return peer.signed_reply(asked, 200, [])


def old_signature(peer, request, asked):
    return peer.signed_reply(asked, 200, {"acked": last_of(request), "results": []},
                             created=now_ms() // 1000 - HOUR_SECONDS)


def other_nonce(peer, request, asked):
    return peer.signed_reply(asked._replace(nonce="A" * 22), 200,
                             {"acked": last_of(request), "results": []})


def unsigned_200(peer, request, asked):
    return Reply(200, {}, dump_json({"acked": last_of(request), "results": []}))


def unsigned_400(peer, request, asked):
    return Reply(400, {}, dump_json(error(400, "VALIDATION_ERROR")))


def unsigned_409(peer, request, asked):
    return Reply(409, {}, dump_json(error(409, "STREAM_RESET")))


def unsigned_413(peer, request, asked):
    return Reply(413, {}, b"<html>too much</html>")


def bad_request(peer, request, asked):
    """Signed, so a verdict: the item that gets it alone is over."""
    return peer.signed_reply(asked, 400, error(400, "VALIDATION_ERROR"))


def unauthorized(peer, request, asked):
    return peer.signed_reply(asked, 401, error(401, "SIGNATURE_INVALID"))


def reset(peer, request, asked):
    return peer.signed_reply(asked, 409, error(409, "STREAM_RESET"))


def busy(peer, request, asked):
    reply = peer.signed_reply(asked, 503, error(503, "BUSY"))
    return reply._replace(headers={**reply.headers, "Retry-After": "1"})


LIES = (slow, bad_signature, other_body, taken_but_cut, taken_but_busy, taken_but_reset, huge,
        result_of_what_was_not_sent, wrong_acked, unknown_code, no_object, old_signature,
        other_nonce, unsigned_200, unsigned_400, unsigned_409, unsigned_413, bad_request,
        unauthorized, reset, busy)
UNREAD = "unread_200"


class HastyHandler(_Handler):
    """Sometimes says 200 before it has read anything but the head."""

    def _handle_or_not(self):
        if self.path != TRANSACTIONS or not self.server.peer.answers_unread():
            return self._handle()
        self.close_connection = True
        self._reply(Reply(200, {"Connection": "close"},
                          dump_json({"acked": 1, "results": []})))

    do_GET = do_POST = _handle_or_not


class Liar(LabPeer):
    def __init__(self, lab, domain, chance):
        self.chance = chance
        self.told = Counter()  # name of the lie -> how often
        self._lying = False
        super().__init__(lab, domain)
        self._server.RequestHandlerClass = HastyHandler

    def lie(self):
        self._lying = True

    def become_honest(self):
        self._lying = False

    def honest(self, request):
        return super().answer(request)

    def answers_unread(self):
        if not self._lying or self.chance.random() > LIE_CHANCE / len(LIES):
            return False
        self.told[UNREAD] += 1
        return True

    def answer(self, request):
        if not self._lying or request.path != TRANSACTIONS or self.chance.random() > LIE_CHANCE:
            return self.honest(request)
        try:
            _, asked = self.check_request(request)
        except (Refusal, TryLater):
            return self.honest(request)
        lie = self.chance.choice(LIES)
        self.told[lie.__name__] += 1
        return lie(self, request, asked)
