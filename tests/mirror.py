"""A local HTTP server of one folder, whose answers a test chooses."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class Mirror:
    """A server of one folder.

    ``answers`` lists how to answer the next requests for a file; later ones are answered normally.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, list[Answer]] = {}
        self.asked: Counter[str] = Counter()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                mirror.asked[name] += 1
                queue = mirror.answers.get(name, []) or mirror.answers.get("*", [])
                (queue.pop(0) if queue else serve)(self, (mirror.folder / name).read_bytes())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # The interval at which the server checks whether to stop; the default of 0.5 s would add up.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def head(to: BaseHTTPRequestHandler, length: int | None, code: int = 200, **more: str) -> None:
    to.send_response(code)
    if length is not None:
        to.send_header("Content-Length", str(length))
    for key, value in more.items():
        to.send_header(key.replace("_", "-"), value)
    to.end_headers()


def serve(to: BaseHTTPRequestHandler, content: bytes) -> None:
    head(to, len(content))
    to.wfile.write(content)
