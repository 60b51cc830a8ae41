"""Many messages at once: one event loop over many keep-alive connections (libcurl).

A single thread submits calls, runs the loop by `poll` and takes the answers. Each call
ends as exactly one Answer, whose outcome says what may be done next:

* ANSWERED  WeChat answered; `errcode` 0 is accepted, any other see `errors`.
* NOT_SENT  no byte of the request left: repeating is safe.
* UNSEEN    the request may have arrived, its answer was not seen. Repeating is safe
            only with a `client_msg_id`, and within WeChat's ten minutes.

One subtlety: when a kept connection turns out dead before any byte of an answer came,
libcurl repeats the request on a new connection by itself. WeChat may have taken the
first one, so this is right only for messages with a `client_msg_id`; for an Endpoint
that is not `repeat_safe` it is prevented, and such a call ends as UNSEEN. (A connection
that idled for more than a second is looked at before it is used again, so this happens
in busy moments only.)

Measured on this loop (2 cores, loopback, 366-byte bodies): requests costs about 900 us
of CPU a message, aiohttp 110 to 170, this 30 to 60.
"""

import enum
import io
import json
import re
import select
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

import certifi
import pycurl

from .calls import errcode_of

ERRMSG_LIMIT = 500
MAX_ANSWER_BYTES = 64 * 1024
# Until the first answer: a wrong host or a blocked port shows with a few connections,
# and one resolver's answer serves all that follow.
FIRST_CONNECTIONS = 4
# Rate limits are kept to by the millisecond; this much may be caught up in one go.
BURST_S = 0.05
# Of one answer in the mean of the latest ones.
LATENCY_WEIGHT = 0.02


# epoll where there is one, else poll, which counts milliseconds; their events have the
# same numbers. Python's `selectors` costs some microseconds a message more.
_new_poller = getattr(select, "epoll", select.poll)
_TIMEOUT_UNITS = 1 if hasattr(select, "epoll") else 1000
_EVENTS = {
    pycurl.POLL_IN: select.POLLIN,
    pycurl.POLL_OUT: select.POLLOUT,
    pycurl.POLL_INOUT: select.POLLIN | select.POLLOUT,
}


class Outcome(enum.StrEnum):
    ANSWERED = "answered"
    UNSEEN = "unseen"
    NOT_SENT = "not_sent"


ANSWERED, UNSEEN, NOT_SENT = Outcome.ANSWERED, Outcome.UNSEEN, Outcome.NOT_SENT


class Endpoint(NamedTuple):
    """A path of WeChat's API, and whether WeChat recognises the repeat of a call."""

    path: str
    repeat_safe: bool = True


TEMPLATE_SEND = Endpoint("/cgi-bin/message/template/send")
# Has no client_msg_id, so a call whose answer was not seen must never be repeated.
SUBSCRIBE_SEND = Endpoint("/cgi-bin/message/subscribe/bizsend", repeat_safe=False)


class Call(NamedTuple):
    """One request: `key` comes back with its Answer."""

    key: int
    body: bytes
    endpoint: Endpoint = TEMPLATE_SEND


class Answer(NamedTuple):
    """What became of a call. `errcode` is None unless ANSWERED; `errmsg` is "" on
    success, else WeChat's or the transport's words, at most 500 characters; `msgid` is
    None when WeChat gave none."""

    key: int
    outcome: Outcome
    errcode: int | None
    errmsg: str
    msgid: int | None


_decode = json.JSONDecoder(strict=False).decode
# How WeChat writes nearly every answer: ten times as fast as any parser.
_ACCEPTED = re.compile(rb'\{"errcode":0,"errmsg":"ok","msgid":([1-9][0-9]{0,19})\}')


def read_answer(key: int, status: int, raw: bytes) -> Answer:
    """Return the Answer in an HTTP answer's status and body."""
    if status >= 500:
        return Answer(key, UNSEEN, None, f"HTTP {status}", None)
    if accepted := _ACCEPTED.fullmatch(raw):
        return Answer(key, ANSWERED, 0, "", int(accepted[1]))
    try:
        answer = _decode(raw.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not ("errcode" in answer or "msgid" in answer):
        return Answer(key, UNSEEN, None, f"HTTP {status}, unreadable answer", None)
    errcode = answer.get("errcode")
    if type(errcode) is not int:
        errcode = errcode_of(answer)
    msgid = answer.get("msgid")
    if type(msgid) is not int:
        msgid = int(msgid) if isinstance(msgid, str) and msgid.isdecimal() else None
    errmsg = str(answer.get("errmsg", ""))[:ERRMSG_LIMIT] if errcode else ""
    return Answer(key, ANSWERED, errcode, errmsg, msgid or None)


class _Transfer:
    """A curl handle, kept for call after call, and the call it is busy with."""

    __slots__ = ("call", "curl", "received", "repeat_safe", "url")

    def __init__(self, repeat_safe: bool) -> None:
        self.repeat_safe = repeat_safe
        self.curl = pycurl.Curl()
        self.received: list[bytes] = []
        self.url = ""
        self.call = Call(0, b"")


class BulkSender:
    """Posts bodies to WeChat's API. Used by one thread.

    `connections` calls run at once, `rate_per_s` of them start in a second (None: as
    fast as answers come); both may be set while it runs.

    `tripwire` is shown each answer before anything else is started. Once it says True
    the sender is `halted`: calls in flight finish, none is started, until `withdraw`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connections: int = 50,
        rate_per_s: float | None = None,
        connect_timeout_s: float = 5,
        timeout_s: float = 15,
        tripwire: Callable[[Answer], bool] | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._connect_timeout_ms = round(connect_timeout_s * 1000)
        self._timeout_ms = round(timeout_s * 1000)
        self.rate_per_s = rate_per_s
        self._tripwire = tripwire
        self.halted = False
        # How long WeChat takes to answer of late, in seconds; 0.0: no answer yet.
        self.latency_s = 0.0
        self._next_start = 0.0
        self._answered_once = False
        self._queue: deque[tuple[Call, str]] = deque()
        # By whether their calls may be repeated: curl keeps how a body is given.
        self._idle: dict[bool, list[_Transfer]] = {True: [], False: []}
        self._busy: dict[Any, _Transfer] = {}
        self._poller: Any = _new_poller()
        self._watched: dict[int, int] = {}  # for which events, by file descriptor
        self._unwanted: set[int] = set()  # of them, what libcurl does not ask for now
        self._timer_at: float | None = None
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self.connections = connections

    @property
    def connections(self) -> int:
        return self._connections

    @connections.setter
    def connections(self, count: int) -> None:
        if count < 1:
            raise ValueError("connections must be at least 1")
        self._connections = count
        self._multi.setopt(pycurl.M_MAXCONNECTS, count)

    @property
    def in_flight(self) -> int:
        """How many calls were started and not yet answered."""
        return len(self._busy)

    @property
    def queued(self) -> int:
        """How many calls were not yet started."""
        return len(self._queue)

    def submit(self, calls: Iterable[Call], access_token: str) -> None:
        """Take `calls`, to be made with `access_token` by the next polls."""
        query = "?access_token=" + quote(access_token, safe="")
        urls: dict[Endpoint, str] = {}
        for call in calls:
            url = urls.get(call.endpoint)
            if url is None:
                url = urls[call.endpoint] = self._base_url + call.endpoint.path + query
            self._queue.append((call, url))

    def withdraw(self) -> list[Call]:
        """Give back the calls not yet started; they will not be made. What is
        submitted from now on is, even if the sender was halted."""
        calls = [call for call, _url in self._queue]
        self._queue.clear()
        self.halted = False
        return calls

    def poll(self, timeout_s: float) -> list[Answer]:
        """Run until calls have finished or `timeout_s` is over; return their answers.

        Returns at once with [] when nothing is in flight and nothing may start.
        """
        deadline = time.monotonic() + timeout_s
        answers: list[Answer] = []
        while True:
            may_start_at = self._start_due()
            if not self._busy and (self.halted or not self._queue):
                return answers
            now = time.monotonic()
            until = deadline if may_start_at is None else min(deadline, may_start_at)
            if self._timer_at is not None:
                until = min(until, self._timer_at)
            self._turn(max(0.0, until - now))
            self._collect(answers)
            if answers:
                self._start_due()  # so that the wire is not idle while answers are read
                return answers
            if time.monotonic() >= deadline:
                return answers

    def close(self) -> None:
        """Close every connection. Calls in flight are given up without an Answer: they
        may have arrived."""
        for curl in self._busy:
            self._multi.remove_handle(curl)
            curl.close()
        for transfer in (*self._idle[True], *self._idle[False]):
            transfer.curl.close()
        self._busy.clear()
        self._idle = {True: [], False: []}
        self._multi.close()
        if hasattr(self._poller, "close"):
            self._poller.close()

    # -- starting ----------------------------------------------------------------------

    def _start_due(self) -> float | None:
        """Start what may start now. Return when the rate allows the next one (monotonic
        clock), None when something else is awaited."""
        if self.halted:
            return None
        limit = self._connections
        if not self._answered_once:
            limit = min(limit, FIRST_CONNECTIONS)
        rate = self.rate_per_s
        while self._queue and len(self._busy) < limit:
            if rate:
                now = time.monotonic()
                if self._next_start > now:
                    return self._next_start
                self._next_start = max(self._next_start, now - BURST_S) + 1 / rate
            self._start(*self._queue.popleft())
        return None

    def _start(self, call: Call, url: str) -> None:
        repeat_safe = call.endpoint.repeat_safe
        idle = self._idle[repeat_safe]
        transfer = idle.pop() if idle else self._new_transfer(repeat_safe)
        curl = transfer.curl
        if transfer.url != url:
            curl.setopt(pycurl.URL, url)
            transfer.url = url
        if repeat_safe:
            curl.setopt(pycurl.POSTFIELDS, call.body)
        else:
            # A body that is read once: libcurl cannot rewind it, so it cannot repeat.
            curl.setopt(pycurl.READFUNCTION, io.BytesIO(call.body).read)
            curl.setopt(pycurl.POSTFIELDSIZE, len(call.body))
        transfer.call = call
        transfer.received.clear()
        self._busy[curl] = transfer
        self._multi.add_handle(curl)

    def _new_transfer(self, repeat_safe: bool) -> _Transfer:
        transfer = _Transfer(repeat_safe)
        curl = transfer.curl
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(
            pycurl.HTTPHEADER,
            ["Content-Type: application/json", "Expect:", "Accept:"],
        )
        curl.setopt(pycurl.USERAGENT, "jums")
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.PROXY, "")  # none from the environment either
        curl.setopt(pycurl.CAINFO, certifi.where())
        curl.setopt(pycurl.SSL_VERIFYPEER, 1)
        curl.setopt(pycurl.SSL_VERIFYHOST, 2)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, self._connect_timeout_ms)
        curl.setopt(pycurl.TIMEOUT_MS, self._timeout_ms)
        curl.setopt(pycurl.MAXFILESIZE_LARGE, MAX_ANSWER_BYTES)
        curl.setopt(pycurl.WRITEFUNCTION, transfer.received.append)
        return transfer

    # -- the loop ----------------------------------------------------------------------

    def _watch(self, what: int, fd: int, _multi: object, _data: object) -> None:
        """libcurl wants to hear about `fd`, or no more."""
        if what == pycurl.POLL_REMOVE:
            # Most are wanted again for the next call: left in, they cost half as much.
            self._unwanted.add(fd)
            return
        events = _EVENTS[what]
        known = self._watched.get(fd)
        if known == events and fd not in self._unwanted:
            return
        self._unwanted.discard(fd)
        self._watched[fd] = events
        if known is not None:
            try:
                self._poller.modify(fd, events)
                return
            except FileNotFoundError:
                pass  # that one was closed, this is another of the same number
        self._poller.register(fd, events)

    def _set_timer(self, timeout_ms: int) -> None:
        self._timer_at = (
            None if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000
        )

    def _turn(self, timeout_s: float) -> None:
        action = self._multi.socket_action
        for fd, events in self._poller.poll(timeout_s * _TIMEOUT_UNITS):
            if fd in self._unwanted:
                # WeChat closed a kept connection: libcurl sees it when it needs one.
                self._unwanted.discard(fd)
                del self._watched[fd]
                self._poller.unregister(fd)
                continue
            mask = 0
            if events & ~select.POLLOUT:
                mask |= pycurl.CSELECT_IN
            if events & ~select.POLLIN:
                mask |= pycurl.CSELECT_OUT
            action(fd, mask)
        if self._timer_at is not None and self._timer_at <= time.monotonic():
            self._timer_at = None
            action(pycurl.SOCKET_TIMEOUT, 0)

    def _collect(self, answers: list[Answer]) -> None:
        while True:
            left, done, failed = self._multi.info_read(500)
            for curl in done:
                transfer = self._finish(curl)
                self._answered_once = True
                status = curl.getinfo(pycurl.RESPONSE_CODE)
                took_s = curl.getinfo(pycurl.TOTAL_TIME)
                self.latency_s += (took_s - self.latency_s) * LATENCY_WEIGHT
                raw = b"".join(transfer.received)
                self._note(read_answer(transfer.call.key, status, raw), answers)
            for curl, errno, message in failed:
                transfer = self._finish(curl)
                # Counted over libcurl's own repeats too, so 0 is really nothing.
                sent = curl.getinfo(pycurl.REQUEST_SIZE)
                if errno == pycurl.E_SEND_FAIL_REWIND:
                    message = "the kept connection was cut"
                outcome = UNSEEN if sent else NOT_SENT
                errmsg = f"curl {errno}: {message}"[:ERRMSG_LIMIT]
                key = transfer.call.key
                self._note(Answer(key, outcome, None, errmsg, None), answers)
            if not left:
                return

    def _note(self, answer: Answer, answers: list[Answer]) -> None:
        answers.append(answer)
        if self._tripwire is not None and self._tripwire(answer):
            self.halted = True

    def _finish(self, curl: Any) -> _Transfer:
        self._multi.remove_handle(curl)
        transfer = self._busy.pop(curl)
        self._idle[transfer.repeat_safe].append(transfer)
        return transfer
