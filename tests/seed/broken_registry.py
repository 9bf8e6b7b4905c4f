"""Before a lab's registry: what sends half of a layer and hangs up, or a layer with other bytes than its digest says.

broken_registry.py half|wrong      at 127.0.0.1:9000; only layers of more than a megabyte are touched
"""

import shutil
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = 2**20


class Broken(BaseHTTPRequestHandler):
    """Passes on what the registry says, and breaks what is large."""

    def do_GET(self):
        # Docker goes on where a layer broke off.
        wanted = {"Range": self.headers["Range"]} if "Range" in self.headers else {}
        with urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:5000{self.path}", headers=wanted)
        ) as answer:
            size = int(answer.headers["Content-Length"])
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Length", "Content-Range", "Docker-Content-Digest"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.end_headers()
            if size < LARGE:
                shutil.copyfileobj(answer, self.wfile)
            elif sys.argv[1] == "half":
                self.wfile.write(answer.read(size // 2))
                self.close_connection = True
            else:
                self.wfile.write(bytes(2**16))
                answer.read(2**16)
                shutil.copyfileobj(answer, self.wfile)


ThreadingHTTPServer(("127.0.0.1", 9000), Broken).serve_forever()
