"""A web server on this machine, for tests of downloads."""

import hashlib
import http.server
import itertools
import socket
import threading


def md5(content):
    return hashlib.md5(content).hexdigest()


def free_port():
    """The number of a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Server:
    """A server of files, which runs while its `with` block runs."""

    def __init__(self):
        self._folders, self._numbers = {}, itertools.count()

    def folder(self, files, cut=0):
        """Serve some files.

        Args:
          files: dictionary of file name -> bytes.
          cut: number of bytes of the last file that are announced and never sent.

        Returns:
          The URL of the folder with the files.
        """
        path = f"/{next(self._numbers)}"
        self._folders[path] = files, cut
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def file(self, content, cut=0):
        """Serve one file and return its URL, see `folder`."""
        return self.folder({"file": content}, cut) + "/file"

    def __enter__(self):
        folders = self._folders

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                folder, _, name = self.path.rpartition("/")
                files, cut = folders.get(folder, ({}, 0))
                if name not in files:
                    return self.send_error(404)
                content = files[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                last = name == list(files)[-1]
                self.wfile.write(content[:len(content) - cut] if last else content)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
