import json
import socket
import threading
import time
import zlib

import pytest

from channels_wechat.wechat.bulk import (
    ANSWERED,
    ERRMSG_LIMIT,
    MAX_ANSWER_BYTES,
    NOT_SENT,
    SUBSCRIBE_SEND,
    TEMPLATE_SEND,
    UNSEEN,
    Answer,
    BulkSender,
    Call,
)
from tests.wechat.scripted import accepted, cut, http, raw, silent

PATH = "/cgi-bin/message/template/send"


@pytest.fixture
def make_sender(wechat):
    senders = []

    def make(url=None, **options):
        senders.append(BulkSender(url or wechat.url, **options))
        return senders[-1]

    yield make
    for sender in senders:
        sender.close()


def finish(sender, timeout_s=10):
    """Every answer, by key."""
    answers = []
    deadline = time.monotonic() + timeout_s
    while sender.queued or sender.in_flight:
        assert time.monotonic() < deadline, f"only {answers}"
        answers += sender.poll(0.5)
    keys = [answer.key for answer in answers]
    assert len(keys) == len(set(keys)), "a call ended twice"
    return {answer.key: answer for answer in answers}


def one(sender, body=b"{}", endpoint=TEMPLATE_SEND):
    sender.submit([Call(7, body, endpoint)], "TOKEN")
    return finish(sender)[7]


def test_the_body_arrives_as_it_is_and_the_answer_comes_back(wechat, make_sender):
    body = '{"touser":"o1","data":{"a":{"value":"张三"}}}'.encode()

    answer = one(make_sender(), body)

    assert answer == Answer(7, ANSWERED, 0, "", 3487542469355618313)
    (request,) = wechat.requests
    assert request.line == f"POST {PATH}?access_token=TOKEN HTTP/1.1"
    assert request.body == body
    assert request.headers["content-type"] == "application/json"
    assert "expect" not in request.headers


def test_a_token_is_quoted_into_the_url(wechat, make_sender):
    sender = make_sender()
    sender.submit([Call(1, b"{}")], "a+b&c=d")

    finish(sender)

    assert wechat.requests[0].target == f"{PATH}?access_token=a%2Bb%26c%3Dd"


def test_calls_submitted_with_another_token_use_it_on_kept_connections(
    wechat, make_sender
):
    sender = make_sender(connections=1)
    sender.submit([Call(1, b"{}"), Call(2, b"{}")], "OLD")
    sender.submit([Call(3, b"{}")], "NEW")

    finish(sender)

    tokens = [request.target.rpartition("=")[2] for request in wechat.requests]
    assert tokens == ["OLD", "OLD", "NEW"]
    assert wechat.connections == 1


def test_many_calls_share_few_connections(wechat, make_sender):
    sender = make_sender(connections=8)
    sender.submit([Call(key, b"%d" % key) for key in range(400)], "TOKEN")

    answers = finish(sender)

    assert {answer.outcome for answer in answers.values()} == {ANSWERED}
    assert sorted(int(request.body) for request in wechat.requests) == list(range(400))
    assert wechat.connections <= 8


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        # A refusal keeps WeChat's words, rid and all.
        (
            '{"errcode":43004,"errmsg":"require subscribe rid: 1"}',
            (ANSWERED, 43004, "require subscribe rid: 1", None),
        ),
        # errcode in quotes, as a few endpoints write it.
        ('{"errcode":"0","errmsg":"ok","msgid":"12"}', (ANSWERED, 0, "", 12)),
        ('{"errcode":"43004","errmsg":"x"}', (ANSWERED, 43004, "x", None)),
        # No errcode at all is success; msgid 0 is none.
        ('{"msgid":5}', (ANSWERED, 0, "", 5)),
        ('{"errcode":0,"errmsg":"ok","msgid":0}', (ANSWERED, 0, "", None)),
        ('{"errcode":0,"errmsg":"ok"}', (ANSWERED, 0, "", None)),
        # Raw control characters and a byte order mark.
        (
            '\ufeff{"errcode":47003,"errmsg":"a\x01\n\tb"}',
            (ANSWERED, 47003, "a\x01\n\tb", None),
        ),
        # Nobody knows what this means, so it was not accepted for sure.
        ('{"errcode":"busy","errmsg":"?"}', (ANSWERED, -1, "?", None)),
        # No answer of WeChat's: the message may have been taken all the same.
        ("<html>hello</html>", (UNSEEN, None, "HTTP 200, unreadable answer", None)),
        ("", (UNSEEN, None, "HTTP 200, unreadable answer", None)),
        ("[1]", (UNSEEN, None, "HTTP 200, unreadable answer", None)),
        ("{}", (UNSEEN, None, "HTTP 200, unreadable answer", None)),
        ("[" * 50_000, (UNSEEN, None, "HTTP 200, unreadable answer", None)),
    ],
)
def test_an_answer_is_read_leniently_but_never_guessed(
    wechat, make_sender, reply, expected
):
    wechat.script.append(http(reply))

    assert one(make_sender())[1:] == expected


def test_a_long_errmsg_is_cut(wechat, make_sender):
    wechat.script.append(http(json.dumps({"errcode": 47003, "errmsg": "x" * 5000})))

    assert one(make_sender()).errmsg == "x" * ERRMSG_LIMIT


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad Gateway", "504 Late"])
def test_a_server_error_is_unseen_whatever_it_says(wechat, make_sender, status):
    wechat.script.append(http('{"errcode":0,"msgid":1}', status))

    answer = one(make_sender())

    assert answer[1:] == (UNSEEN, None, f"HTTP {status[:3]}", None)


def test_a_redirect_is_not_followed(wechat, make_sender):
    wechat.script.append(http("", "302 Found", f"Location: {wechat.url}/x\r\n"))

    assert one(make_sender()).outcome == UNSEEN
    assert len(wechat.requests) == 1


def test_a_chunked_answer_is_read(wechat, make_sender):
    wechat.script.append(
        raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'9\r\n{"errcode\r\n1\r\n"\r\nb\r\n:0,"msgid":\r\n2\r\n9}\r\n0\r\n\r\n',
            keep=True,
        )
    )

    assert one(make_sender())[1:] == (ANSWERED, 0, "", 9)


def test_an_answer_ended_by_the_connections_close_is_read(wechat, make_sender):
    wechat.script.append(raw(b'HTTP/1.1 200 OK\r\n\r\n{"errcode":0,"msgid":9}'))

    assert one(make_sender())[1:] == (ANSWERED, 0, "", 9)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{"errcode":0,"ms',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "half a chunk", "no HTTP"],
)
def test_a_cut_answer_is_unseen(wechat, make_sender, answer):
    wechat.otherwise = raw(answer)

    assert one(make_sender()).outcome == UNSEEN


@pytest.mark.parametrize("length", ["Content-Length: 9999999\r\n", ""])
def test_an_endless_answer_is_given_up(wechat, make_sender, length):
    def flood(connection):
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n".encode())
        for _ in range(200):
            connection.sendall(b"x" * MAX_ANSWER_BYTES)
        return False

    wechat.script.append(flood)
    sender = make_sender(timeout_s=60)

    started = time.monotonic()
    answer = one(sender)

    assert answer.outcome == UNSEEN
    assert time.monotonic() - started < 5


def test_a_silent_server_is_unseen_after_the_time_out(wechat, make_sender):
    wechat.script.append(silent(5))

    started = time.monotonic()
    answer = one(make_sender(timeout_s=0.5))

    assert answer.outcome == UNSEEN
    assert 0.4 < time.monotonic() - started < 3


def test_a_compressed_answer_nobody_asked_for_is_unseen(wechat, make_sender):
    packed = zlib.compress(b'{"errcode":0,"msgid":1}')
    wechat.script.append(http(packed, headers="Content-Encoding: deflate\r\n"))

    assert one(make_sender()).outcome == UNSEEN
    assert "accept-encoding" not in wechat.requests[0].headers


def test_a_refused_connection_is_not_sent(make_sender):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert one(make_sender(f"http://127.0.0.1:{port}")).outcome == NOT_SENT


def test_an_unknown_host_is_not_sent(make_sender):
    answer = one(make_sender("http://no-such-host.invalid"))

    assert answer.outcome == NOT_SENT
    assert "no-such-host.invalid" in answer.errmsg


def test_a_connection_that_never_opens_is_not_sent(make_sender):
    with socket.socket() as listener:
        # A full queue of connections: the kernel leaves further ones unanswered.
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        crowd = [socket.socket() for _ in range(4)]
        for each in crowd:
            each.setblocking(False)
            each.connect_ex(address)

        sender = make_sender(f"http://127.0.0.1:{address[1]}", connect_timeout_s=0.3)
        answer = one(sender)

        for each in crowd:
            each.close()
    assert answer.outcome == NOT_SENT


def test_a_failed_tls_handshake_is_not_sent(wechat, make_sender):
    answer = one(make_sender(wechat.url.replace("http:", "https:")))

    assert answer.outcome == NOT_SENT
    assert not any(PATH in request.line for request in wechat.requests)


def test_no_error_text_holds_the_token(wechat, make_sender):
    wechat.otherwise = cut
    sender = make_sender(connections=1)
    sender.submit([Call(1, b"{}")], "SECRET-TOKEN")

    (answer,) = finish(sender).values()

    assert "SECRET" not in answer.errmsg
    assert answer.errmsg


def test_a_dead_kept_connection_is_replaced_when_a_repeat_is_safe(wechat, make_sender):
    wechat.script.extend([accepted(1), cut, accepted(2)])
    sender = make_sender(connections=1)
    sender.submit([Call(1, b"first"), Call(2, b"second")], "TOKEN")

    answers = finish(sender)

    assert answers[2] == Answer(2, ANSWERED, 0, "", 2)
    bodies = [request.body for request in wechat.requests]
    assert bodies == [b"first", b"second", b"second"]


def test_a_request_that_may_have_arrived_is_never_repeated_when_it_is_not_safe(
    wechat, make_sender
):
    wechat.script.extend([accepted(1), cut, accepted(3)])
    sender = make_sender(connections=1)
    bodies = [b"first", b"second", b"third"]
    calls = [Call(n, body, SUBSCRIBE_SEND) for n, body in enumerate(bodies, start=1)]
    sender.submit(calls, "TOKEN")

    answers = finish(sender)

    assert answers[2].outcome == UNSEEN
    assert answers[3] == Answer(3, ANSWERED, 0, "", 3)
    assert [request.body for request in wechat.requests] == bodies


def test_two_endpoints_share_the_connections(wechat, make_sender):
    sender = make_sender(connections=1)
    endpoints = [TEMPLATE_SEND, SUBSCRIBE_SEND, TEMPLATE_SEND, SUBSCRIBE_SEND]
    calls = [Call(n, b"body%d" % n, to) for n, to in enumerate(endpoints)]
    sender.submit(calls, "TOKEN")

    answers = finish(sender)

    assert {answer.outcome for answer in answers.values()} == {ANSWERED}
    assert [(r.target, r.body) for r in wechat.requests] == [
        (f"{call.endpoint.path}?access_token=TOKEN", call.body) for call in calls
    ]
    assert wechat.connections == 1


# libcurl looks whether a kept connection still lives once it idled for a second.
@pytest.mark.parametrize(
    ("endpoint", "idle_s"), [(TEMPLATE_SEND, 0.1), (SUBSCRIBE_SEND, 1.2)]
)
def test_a_connection_closed_while_idle_costs_nothing(
    wechat, make_sender, endpoint, idle_s
):
    wechat.script.append(http('{"errcode":0}', keep=False))
    sender = make_sender(connections=1)

    outcomes = [one(sender, endpoint=endpoint).outcome]
    time.sleep(idle_s)
    outcomes.append(one(sender, endpoint=endpoint).outcome)

    assert outcomes == [ANSWERED, ANSWERED]
    assert len(wechat.requests) == 2


def test_a_repeat_that_cannot_connect_is_unseen_for_the_first_one_left(
    wechat, make_sender
):
    def close_everything(_connection):
        wechat.stop_listening()
        return False

    wechat.script.extend([accepted(1), close_everything])
    sender = make_sender(connections=1)
    sender.submit([Call(1, b"first"), Call(2, b"second")], "TOKEN")

    answers = finish(sender)

    assert answers[2].outcome == UNSEEN
    assert [request.body for request in wechat.requests] == [b"first", b"second"]


def test_a_slow_upload_that_times_out_is_unseen(make_sender):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Accepts and never reads: a part of the body has left.
        sender = make_sender(
            f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.5
        )

        answer = one(sender, b"x" * 20_000_000)

    assert answer.outcome == UNSEEN


def test_the_rate_is_kept_to(wechat, make_sender):
    sender = make_sender(connections=20, rate_per_s=100)
    sender.submit([Call(key, b"{}") for key in range(50)], "TOKEN")

    started = time.monotonic()
    finish(sender)
    seconds = time.monotonic() - started

    assert 0.40 <= seconds < 2


def test_a_rate_set_while_running_holds_from_then_on(wechat, make_sender):
    sender = make_sender(connections=5, rate_per_s=1)
    sender.submit([Call(key, b"{}") for key in range(50)], "TOKEN")
    sender.poll(0.1)

    sender.rate_per_s = None
    started = time.monotonic()
    finish(sender)

    # At most the one second of the old rate is still waited for.
    assert time.monotonic() - started < 3


def test_poll_gives_up_in_time_while_the_rate_holds_calls_back(wechat, make_sender):
    sender = make_sender(rate_per_s=0.1)
    sender.submit([Call(1, b"{}"), Call(2, b"{}")], "TOKEN")
    assert [answer.key for answer in sender.poll(5)] == [1]

    started = time.monotonic()

    assert sender.poll(0.2) == []
    assert 0.15 < time.monotonic() - started < 1
    assert (sender.queued, sender.in_flight) == (1, 0)


def test_connections_can_be_changed_while_running(wechat, make_sender):
    gate = threading.Event()

    def wait(connection):
        gate.wait(10)
        return accepted()(connection)

    sender = make_sender(connections=2)
    one(sender)  # the first answer ends the careful beginning
    wechat.otherwise = wait
    sender.submit([Call(key, b"{}") for key in range(30)], "TOKEN")

    in_flight = []
    for count in (2, 10, 1):
        sender.connections = count
        assert sender.poll(0.1) == []
        in_flight.append(sender.in_flight)
    gate.set()
    while sender.in_flight > 1:
        sender.poll(1)
    gate.clear()
    finished = sender.poll(0.3)  # the one that was still open, perhaps

    # What runs is let finish; nothing new starts above the new number.
    assert in_flight == [2, 10, 10]
    assert len(finished) <= 1
    assert sender.in_flight == 1
    gate.set()
    finish(sender)
    with pytest.raises(ValueError, match="at least 1"):
        sender.connections = 0


def test_what_was_not_started_can_be_withdrawn(wechat, make_sender):
    wechat.otherwise = silent(0.3)
    sender = make_sender(connections=2)
    calls = [Call(key, b"%d" % key) for key in range(5)]
    sender.submit(calls, "TOKEN")
    sender.poll(0.05)

    withdrawn = sender.withdraw()

    assert withdrawn == calls[2:]
    assert (sender.queued, sender.in_flight) == (0, 2)
    assert set(finish(sender)) == {0, 1}


def test_an_empty_sender_does_not_wait(make_sender):
    started = time.monotonic()

    assert make_sender().poll(5) == []

    assert time.monotonic() - started < 0.5


def test_a_dead_host_is_tried_by_few_connections_at_first(wechat, make_sender):
    wechat.otherwise = silent(0.2)
    sender = make_sender(connections=100)
    sender.submit([Call(key, b"{}") for key in range(100)], "TOKEN")

    sender.poll(0.1)

    assert sender.in_flight == 4


def test_proxies_of_the_environment_are_not_used(wechat, make_sender, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert one(make_sender()).outcome == ANSWERED
