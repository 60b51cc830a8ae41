"""The queue folder: whoever looks into it finds whole messages only."""

import json
import threading
from queue import Empty

import pytest
from kombu import Connection, Exchange, Producer, Queue

from jums import broker


def a_queue(name):
    # A name per test: kombu remembers for the whole process what it has bound.
    return Queue(name, Exchange(name), routing_key=name)


@pytest.fixture
def connect(tmp_path):
    """Open a connection of its own to the same folder, as another process does."""
    folder = tmp_path / "queue"
    folder.mkdir()
    opened = []

    def connect():
        connection = Connection(
            transport=broker.Transport,
            transport_options={
                "data_folder_in": str(folder),
                "data_folder_out": str(folder),
                "control_folder": tmp_path / "control",
            },
        )
        opened.append(connection)
        return connection

    connect.folder = folder
    connect.control = tmp_path / "control"
    yield connect
    for connection in opened:
        connection.release()


def test_what_is_put_is_got(connect):
    with connect().SimpleQueue(a_queue("one")) as sender:
        sender.put({"n": 1})
    with connect().SimpleQueue(a_queue("one")) as receiver:
        message = receiver.get(timeout=5)
        assert message.payload == {"n": 1}
        message.ack()
        with pytest.raises(Empty):
            receiver.get_nowait()


def test_nobody_ever_sees_half_a_message(connect):
    done = threading.Event()
    halves = []

    def look():
        while not done.is_set():
            for path in connect.folder.glob("[!.]*.msg"):
                try:
                    json.loads(path.read_bytes())
                except ValueError:
                    halves.append(path.name)

    looking = threading.Thread(target=look)
    looking.start()
    with connect().channel() as channel:
        queue = a_queue("many")
        queue(channel).declare()
        sender = Producer(channel, queue.exchange, routing_key="many")
        for n in range(300):
            sender.publish({"n": n})
    done.set()
    looking.join()

    assert halves == []
    assert len(list(connect.folder.glob("*.msg"))) == 300
    assert list(connect.folder.glob("*.part")) == []


def test_processes_that_start_together_share_one_table(connect):
    start = threading.Barrier(8)
    failed = []

    def bind(n):
        queue = Queue(f"q{n}", Exchange("together"), routing_key="x")
        start.wait()
        try:
            with connect().channel() as channel:
                queue(channel).declare()
        except ValueError as error:
            failed.append(error)

    threads = [threading.Thread(target=bind, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    table = json.loads((connect.control / "together.exchange").read_text())
    assert {row[2] for row in table} == {f"q{n}" for n in range(8)}
