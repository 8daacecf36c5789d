"""Connections to other tasks: a server that answers, one that hangs, one that ends."""

import socket
import threading
import time

import pytest

from tf1cifar import errors
from tf1cifar.training import hosts, peers


class Server:
    """A server on this machine that answers a greeting with `answer`."""

    def __init__(self, answer=bytes([0, 0, 0, peers.SETTINGS, 0, 0, 0, 0, 0]), port=0):
        self.listener, self.answer = socket.create_server(("127.0.0.1", port)), answer
        self.port, self.connections = self.listener.getsockname()[1], []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            assert connection.recv(100) == peers.GREETING
            connection.sendall(self.answer)
            self.connections.append(connection)

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            connection.close()


def others_of(*ports, timeout=0.5):
    return peers.Peers(hosts.Hosts(("127.0.0.1:1", *(f"127.0.0.1:{port}" for port in ports)), 0,
                                   timeout, 1))


def test_greet_finds_a_server():
    connection, reason = peers.greet(("127.0.0.1", Server().port), 1)
    assert connection and not reason


@pytest.mark.parametrize("place, words", [
    (("no-such-host.invalid", 1), "no machine is known by this name"),
    (("127.0.0.1", 1), "connection refused")])
def test_greet_says_why_there_is_none(place, words):
    assert peers.greet(place, 1) == (None, words)


def test_greet_recognises_another_program_and_one_that_hangs():
    assert peers.greet(("127.0.0.1", Server(b"HTTP/1.1 400 Bad").port), 1) == (
        None, "another program listens there")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert peers.greet(silent.getsockname(), 0.2) == (None, "the process does not answer")


def test_meet_waits_for_a_late_task(monkeypatch):
    monkeypatch.setattr(peers, "GRACE", 0.1)
    (late,), lines = hosts.free_ports(1), []
    timer = threading.Timer(0.5, lambda: Server(port=late))
    timer.start()
    others = others_of(Server().port, late, timeout=20)
    others.meet(lines.append)
    assert lines == [f"waiting for task 2 (127.0.0.1:{late}): connection refused"]
    assert others.culprit(0.01) == ""


def test_meet_names_the_task_that_does_not_come():
    (never,) = hosts.free_ports(1)
    with pytest.raises(errors.Failure) as error:
        others_of(Server().port, never).meet(print)
    assert f"task 2 (127.0.0.1:{never}): connection refused" in str(error.value)
    assert "task 1" not in str(error.value)


def test_watch_names_the_task_that_ends_first(monkeypatch):
    exits = []
    monkeypatch.setattr(peers.os, "_exit", exits.append)
    monkeypatch.setattr(peers, "GRACE", 2.0)
    servers = [Server(), Server()]
    others = others_of(*(server.port for server in servers))
    others.meet(print)
    others.watch()
    try:
        servers[1].end()
        first = others.culprit(20)
        servers[0].end()
        assert others.culprit(20) == first
        assert first.startswith(f"task 2 (127.0.0.1:{servers[1].port}) has ended")
        assert not exits
        end = time.monotonic() + 20
        while not exits and time.monotonic() < end:
            time.sleep(0.05)
        assert exits == [1]  # this process did not end by itself
    finally:
        others.part()  # or the thread would end the process that runs the tests


def test_watch_ends_with_the_work():
    server = Server()
    others = others_of(server.port)
    others.meet(print)
    others.watch()
    others.part()
    server.end()
    assert others.culprit(0.2).endswith("run goes on from its last checkpoint") and not others.gone
