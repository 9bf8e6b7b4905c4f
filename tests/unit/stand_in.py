"""A stand-in for a server of the outside world: a real one on a loopback address that answers as a test tells it."""

import datetime
import inspect
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Asked:
    """What a server was asked."""

    method: str
    path: str
    headers: Message


@dataclass
class Server:
    """Answers what `answer` says, and keeps what it was asked."""

    answer: Callable[[Asked], Reply | None]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    @property
    def questions(self) -> list[str]:
        return [f"{one.method} {one.path}" for one in self.asked]


@contextmanager
def serving(answer: Callable[[Asked], Reply | None], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server for the while of a block; it ends the connection without a word where `answer` returns None."""
    server = Server(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = Asked(self.command, self.path, self.headers)
            server.asked.append(asked)
            reply = server.answer(asked)
            if reply is None:
                self.close_connection = True
                return
            code, headers, body = reply
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_CONNECT = do_GET  # noqa: N815 - as the library calls them

        def log_message(self, *_: object) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that goes away is none."""

    made = Listener(("127.0.0.1", 0), Handler)
    if tls:
        made.socket = tls.wrap_socket(made.socket, server_side=True)
    server.url = f"{'https' if tls else 'http'}://localhost:{made.server_port}"
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    made.shutdown()
    made.server_close()


def git_server(folder: Path) -> Callable[[Asked], Reply]:
    """How git's own `git http-backend` answers for the repositories in `folder`."""

    def answer(asked: Asked) -> Reply:
        path, _, query = asked.path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": asked.method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
        }
        said = subprocess.run(["git", "http-backend"], env=environment, capture_output=True, check=True).stdout
        head, _, body = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        return int(headers.pop("Status", "200").split()[0]), headers, body

    return answer


class Authority:
    """A certificate authority of a test's own, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a stand-in")])
        signs = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False) | {"key_cert_sign": True}
        own = (x509.BasicConstraints(ca=True, path_length=None), x509.KeyUsage(**signs))
        self.pem = self._signed(self.key, self.name, 0, *own)

    def context(self, name: str = "localhost", days: int = 0) -> ssl.SSLContext:
        """What a server speaks TLS with whose certificate is for `name`, and for a day that was `days` ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = self.folder / "server.pem"
        pem = self._signed(key, x509.Name([]), days, x509.SubjectAlternativeName([x509.DNSName(name)]))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(secret + pem.encode())
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(path)
        return made

    def _signed(
        self, key: ec.EllipticCurvePrivateKey, subject: x509.Name, days: int, *extensions: x509.ExtensionType
    ) -> str:
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - day * (days + 1)).not_valid_after(now + day * (1 - days))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        # Without these Python 3.13 takes none.
        for known in (
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
        ):
            builder = builder.add_extension(known, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
