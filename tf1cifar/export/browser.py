"""Headless Chromium, which opens the page of a run: its consumer, and a person's in tests.

    find     the path of a Chromium
    answers  the logits of the page
    Browser  a browser with one page; runs scripts, chooses files, takes screenshots

Commands go through a pipe in the DevTools protocol, so no port is open and no package is needed.
"""

import base64
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import numpy as np

from tf1cifar import errors

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PICTURES = 50  # in one script


def find():
    """The path of a Chromium or Chrome, None if there is none or pipes cannot be passed to it."""
    return next(filter(None, map(shutil.which, NAMES)), None) if os.name == "posix" else None


def answers(path, images):
    """The logits that a page computes of uint8 pictures [N, height, width, channels].

    Returns:
      (logits, seconds, version): float32 [N, num_classes], the time of one picture, and a str.
    """
    script = """(() => {
      const pixels = Uint8Array.from(atob("%s"), letter => letter.charCodeAt(0));
      const size = pixels.length / %d, rows = [], start = performance.now();
      for (let i = 0; i < pixels.length; i += size)
        rows.push([...logits(pixels.subarray(i, i + size))]);
      return [rows, (performance.now() - start) / 1000];
    })()"""
    rows, seconds = [], 0
    with Browser(path) as browser:
        version = browser.send("Browser.getVersion")["product"].rpartition("/")[2]
        for start in range(0, len(images), PICTURES):
            part = images[start:start + PICTURES]
            encoded = base64.b64encode(part.tobytes()).decode()
            more, took = browser.evaluate(script % (encoded, len(part)))
            rows += more
            seconds += took
    return np.array(rows, np.float32), seconds / len(images), version


class Browser:
    """A browser that shows the page at `path` while its `with` block runs.

    Raises:
      errors.Failure: the browser does not start, or a script of the page fails.
    """

    def __init__(self, path):
        self._url, self._number = pathlib.Path(path).resolve().as_uri(), 0

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            home = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            theirs_in, self._out = os.pipe()
            self._in, theirs_out = os.pipe()

            def pass_pipes():  # Chromium reads from descriptor 3 and writes to 4
                pair = os.dup(theirs_in), os.dup(theirs_out)
                for number, end in zip((3, 4), [os.dup2(end, 10 + end) for end in pair]):
                    os.dup2(end, number)

            process = subprocess.Popen(
                [find(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 f"--user-data-dir={home}", "--remote-debugging-pipe", "--window-size=900,1000",
                 "about:blank"], preexec_fn=pass_pipes, close_fds=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            os.close(theirs_in)
            os.close(theirs_out)
            self._source = stack.enter_context(os.fdopen(self._in, "rb", 0))
            stack.callback(os.close, self._out)
            stack.callback(process.wait)
            stack.callback(process.kill)
            self._session = None
            target = self.send("Target.createTarget", url=self._url)["targetId"]
            self._session = self.send("Target.attachToTarget", targetId=target,
                                      flatten=True)["sessionId"]
            # The tab begins with an empty document, which is complete as well.
            while not self.evaluate(f"location.href == {json.dumps(self._url)} && "
                                    "document.readyState == 'complete'"):
                time.sleep(0.02)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def send(self, method, **parameters):
        """Send a command of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        rest = json.dumps(message).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._out, rest):]
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise errors.Failure(f"Chromium: {answer['error'].get('message')}")
                return answer["result"]

    def _message(self):
        received = getattr(self, "_rest", b"")
        while b"\0" not in received:
            part = self._source.read(1 << 20)
            if not part:
                raise errors.Failure("Chromium ended")
            received += part
        message, _, self._rest = received.partition(b"\0")
        return message

    def evaluate(self, script):
        """The value of a script, of a promise when it is kept."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True,
                           returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise errors.Failure("Chromium: " + str(details.get("exception", {}).get(
                "description", details.get("text"))).splitlines()[0])
        return answer["result"].get("value")

    def choose(self, selector, paths):
        """Choose files in the page's file input, as a person does."""
        node = self.send("DOM.querySelector", selector=selector,
                         nodeId=self.send("DOM.getDocument")["root"]["nodeId"])["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def screenshot(self):
        """The bytes of a PNG of the whole page."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png",
                                          captureBeyondViewport=True)["data"])
