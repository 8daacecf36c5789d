"""Connections to the other tasks, which tell when one comes, ends or hangs.

    greet  connect to a task's server
    Peers  connections to the servers of all other tasks

This module imports neither TensorFlow nor NumPy.
"""

import contextlib
import os
import select
import socket
import sys
import threading
import time

from tf1cifar import console, errors

GRACE = 3.0  # seconds in which a task may end by itself after another one has ended

# The beginning of every HTTP/2 connection, on which TensorFlow's servers talk. They answer with a
# frame of the type SETTINGS. A process that was stopped does not answer.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
FRAME_HEADER, SETTINGS = 9, 4
ACKNOWLEDGED = bytes([0, 0, 0, 4, 1, 0, 0, 0, 0])


def greet(place, timeout):
    """Connect to TensorFlow's server at `place`.

    Args:
      place: (host, port).
      timeout: seconds.

    Returns:
      (socket, ''), or (None, the reason why there is no server).
    """
    try:
        connection = socket.create_connection(place, timeout)
    except socket.gaierror:
        return None, "no machine is known by this name"
    except TimeoutError:
        return None, "the machine does not answer"
    except OSError as error:
        return None, (error.strerror or str(error)).lower()
    try:
        connection.sendall(GREETING)
        answer = connection.recv(FRAME_HEADER)
        if len(answer) > 3 and answer[3] == SETTINGS:
            connection.sendall(ACKNOWLEDGED)
            return connection, ""
        reason = "another program listens there"
    except TimeoutError:
        reason = "the process does not answer"
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
    connection.close()
    return None, reason


class Peers:
    """Connections to the servers of the other tasks.

    A connection ends when its process ends, so the end of a task is known at once, whatever
    TensorFlow waits for.

    Attributes:
      gone: (number of the task that ended first, the reason) or None.
    """

    def __init__(self, hosts):
        self.hosts, self.gone = hosts, None
        self._others = [index for index in range(len(hosts.addresses)) if index != hosts.index]
        self._connections, self._ended, self._event = {}, False, threading.Event()

    def meet(self, say):
        """Wait until every other task's server answers.

        Args:
          say: function of a line, called when the wait takes long.

        Raises:
          errors.Failure: a task did not come within the join timeout.
        """
        end, told = time.monotonic() + self.hosts.join_timeout, time.monotonic() + GRACE
        while True:
            missing = []
            for index in self._others:
                if index not in self._connections:
                    connection, reason = greet(self.hosts.place(index), 2.0)
                    if connection:
                        self._connections[index] = connection
                    else:
                        missing.append(f"{self.hosts.name(index)}: {reason}")
            if not missing:
                return
            if time.monotonic() > end:
                raise errors.Failure(f"not there within {self.hosts.join_timeout} s: "
                                     f"{'; '.join(missing)}. Start all tasks; --join-timeout is "
                                     "the time to wait")
            if time.monotonic() > told:
                say(f"waiting for {'; '.join(missing)}")
                told = float("inf")
            time.sleep(0.2)

    def watch(self):
        """Note in a thread which task ends first, and end this process if it does not end then."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while not self._ended:
            numbers = {connection: index for index, connection in self._connections.items()}
            for connection in select.select(list(numbers), [], [], 0.5)[0]:
                with contextlib.suppress(OSError):
                    if connection.recv(4096):
                        continue
                index = numbers[connection]
                self._connections[index], reason = greet(self.hosts.place(index), 2.0)
                if not reason:
                    continue
                if not self._ended:
                    self.gone = index, reason
                    self._event.set()
                    time.sleep(GRACE)
                if not self._ended:
                    console.complain(os.path.basename(sys.argv[0]), self.ended_line(), 1)
                    os._exit(1)
                return

    def ended_line(self):
        """The line about the task that has ended."""
        index, _ = self.gone
        return (f"{self.hosts.name(index)} has ended, see its own message; start all tasks again, "
                "and the run goes on from its last checkpoint")

    def culprit(self, seconds=1.0):
        """The line about the task that has ended or hangs, '' if all answer.

        Args:
          seconds: time to wait for the end of a connection.
        """
        if self._event.wait(seconds):
            return self.ended_line()
        for index in self._others:
            connection, reason = greet(self.hosts.place(index), 2.0)
            if connection:
                connection.close()
            elif self.gone is None:
                return (f"{self.hosts.name(index)}: {reason}; end all tasks and start them again, "
                        "and the run goes on from its last checkpoint")
        return ""

    def part(self):
        """Stop watching, since the work is done."""
        self._ended = True
