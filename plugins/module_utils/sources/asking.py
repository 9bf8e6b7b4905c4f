"""Asks an address over HTTP, as the host's own programs reach it, and says why it does not give what is wanted.

One place for all that every such question has in common: its time, the second try, how much is read, who is trusted,
who may see a password, and which remedy goes with which cause.
"""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from threading import Thread
from typing import NamedTuple

SECONDS = 10
"""A question has so long for everything: the name, the connection, the answer."""
PAUSE_SECONDS = 2
"""Before a question is asked once more, whose trouble may pass by itself."""
TROUBLED = (500, 502, 503, 504)
"""A server's answers that may be others in a moment."""
PASSING = (socket.timeout, TimeoutError, ConnectionResetError, ssl.SSLEOFError, http.client.HTTPException)
"""Why there was no answer, where that may pass by itself; a name server may also say so of itself."""
CLOCK_SECONDS = 300
"""A host's clock that is further off may be why a certificate is refused. To reach the host takes time, too."""

RENEWED = "have the certificate of {host} renewed"
ELSEWHERE = "or use a mirror (set {setting})"
REMEDIES = (
    (r"certificate is not yet valid|certificate has expired", "{renewed}"),
    (
        r"Hostname mismatch|IP address mismatch",
        "set {setting} to a name that the certificate is for, or have {host} given one for its own name",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "name the site's CA bundle: SSL_CERT_FILE on the controller, or site_ca_bundle in the inventory",
    ),
    (r"(answers|failed:) 407\b", "give the proxy's user and password in site_https_proxy or site_http_proxy"),
    (r"Tunnel connection failed", f"have the proxy let this host through to {{host}}, {ELSEWHERE}"),
    (
        r"Name or service not known|Temporary failure in name resolution|No address associated",
        "the host's DNS does not find {host}, or its proxy: mend /etc/resolv.conf or site_https_proxy",
    ),
    (r"answers 401\b", "give a login that may read it: mend {setting}"),
    (r"answers 403\b", f"have this host let through to it, {ELSEWHERE}"),
    (r"answers 429\b", f"there were too many requests from here: wait and run this again, {ELSEWHERE}"),
    (r"answers 5\d\d\b", f"the server is in trouble: run this again later, {ELSEWHERE}"),
    (r"answers \d|No such file|no address of|no host given|control characters", "mend the address: set {setting}"),
    (r"WRONG_VERSION_NUMBER|wrong version number", "it speaks no TLS: mend the address, set {setting}"),
    (r"", f"let this host through to {{host}}, set a proxy (site_https_proxy), {ELSEWHERE}"),
)
"""Why an address does not give what is wanted, as the words for it have it, and what mends that; the first that fits.

`{setting}` is the variable that names the address, `{host}` is where it leads.
"""


class Answer(NamedTuple):
    """What a server answered: the address without a login, the code, what goes with it, and the body's beginning."""

    url: str
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        wait = f" (Retry-After: {self.headers['retry-after']})" if "retry-after" in self.headers else ""
        twice = ", asked twice" if self.status in TROUBLED else ""
        return f"{self.url} answers {self.status} {self.reason}".rstrip() + wait + twice


class UnreachedError(Exception):
    """There was no answer; in a line, with the address and why."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url}: {why}")
        self.url = url


class Asker:
    """Asks, with the host's proxies and the certificates that it trusts.

    `ca_pem` are further certificates; `clock_off` is by how many seconds the host's clock is off, None where that is
    not known. Raises ssl.SSLError or ValueError where `ca_pem` is no PEM.
    """

    def __init__(self, ca_pem: str = "", clock_off: float | None = None) -> None:
        self.ca_pem = ca_pem
        self.clock_off = clock_off
        self._context = self.context()

    def context(self, *paths: str, verified: bool = True) -> ssl.SSLContext:
        """Return the TLS context that trusts what is trusted anyway and the files `paths`; all, if not `verified`."""
        made = ssl.create_default_context()
        if self.ca_pem:
            made.load_verify_locations(cadata=self.ca_pem)
        for path in paths:
            made.load_verify_locations(path)
        if not verified:
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        return made

    def ask(  # noqa: PLR0913 - all but the address by name
        self,
        url: str,
        *,
        method: str = "GET",
        headers: tuple[tuple[str, str], ...] = (),
        secret: str = "",
        read: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """Return the answer, with at most `read` bytes of its body; one more try where a trouble may pass.

        `secret` is the value of a header Authorization; without one, the login in the address is. No other host gets
        either. Raise UnreachedError.
        """
        shown, login = parted(url)
        if not shown.startswith(("http://", "https://", "file://")):
            raise UnreachedError(shown, "it is not an address of http, https or file")
        context = context or self._context
        try:
            request = urllib.request.Request(shown, headers=dict(headers), method=method)  # noqa: S310 - looked at
            if secret or login:
                request.add_unredirected_header("Authorization", secret or login)
            return _patiently(lambda: _once(request, shown, read, context))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UnreachedError(shown, self._words(error, shown)) from None

    def _words(self, error: Exception, url: str) -> str:
        """Return why there was no answer; where the certificate is of another name, by which ones it goes."""
        reason = getattr(error, "reason", None) or error
        said = str(reason) or type(reason).__name__
        if re.search("Hostname mismatch|IP address mismatch", said):
            names = self._names(url)
            said += f" It is for {', '.join(names[:5])}" if names else ""
        return said + (", asked twice" if _may_pass(error) else "")

    def _names(self, url: str) -> list[str]:
        """Return the names that the certificate of the server at `url` is for; empty where it does not show one."""
        context = self.context()
        context.check_hostname = False
        try:
            in_time(lambda: _opener(context, _Looks).open(url, timeout=SECONDS))
        except _SeenError as seen:
            return seen.names
        except (OSError, ValueError, http.client.HTTPException) as error:
            return list(getattr(getattr(error, "reason", None), "names", ()))
        return []

    def remedy(self, words: str, url: str, setting: str) -> str:
        """Return the remedy where `url`, which `setting` names, does not give what is wanted; `words` has the cause."""
        try:
            host = urllib.parse.urlsplit(url).hostname or url
        except ValueError:  # not an address
            host = url
        remedy = next(remedy for pattern, remedy in REMEDIES if re.search(pattern, words))
        return remedy.format(host=host, setting=setting, renewed=self._renewed(host))

    def _renewed(self, host: str) -> str:
        """Return the remedy for a certificate whose time it is not: whose clock is off says whose fault that is."""
        remedy = RENEWED.format(host=host)
        if self.clock_off is None:
            return f"set the host's clock right; where it is, {remedy}"
        if abs(self.clock_off) > CLOCK_SECONDS:
            return f"set the host's clock right: it is {abs(self.clock_off):.0f} s off the controller's"
        return remedy


def parted(url: str) -> tuple[str, str]:
    """Return the address without the login in it, and that as a header Authorization has it; '' where there is none."""
    parts = re.fullmatch(r"(\w[\w+.-]*://)([^/]*)@(.*)", url, re.DOTALL)
    if not parts:
        return url, ""
    user, _unused, password = parts[2].partition(":")
    login = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}".encode()
    return parts[1] + parts[3], f"Basic {base64.b64encode(login).decode()}"


def _patiently(ask):
    """Return what `ask` answers, or raises, at the second try where the first is not to be trusted."""
    try:
        answer = ask()
        if answer.status not in TROUBLED:
            return answer
    except (OSError, http.client.HTTPException) as error:
        if not _may_pass(error):
            raise
    time.sleep(PAUSE_SECONDS)
    return ask()


def _may_pass(error: Exception) -> bool:
    """Return whether what kept a question from being answered may pass by itself."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, socket.gaierror):
        return reason.errno == socket.EAI_AGAIN
    return isinstance(reason, PASSING) and not isinstance(reason, http.client.InvalidURL)


def _once(request: urllib.request.Request, url: str, read: int, context: ssl.SSLContext) -> Answer:
    """Ask once. Raise OSError, ValueError or http.client.HTTPException."""

    def answered() -> Answer:
        try:
            answer = _opener(context).open(request, timeout=SECONDS)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            # A file has no code.
            return Answer(url, answer.status or 200, getattr(answer, "reason", ""), headers, answer.read(read))

    return in_time(answered)


def in_time(do):
    """Return what `do` returns or raises; raise TimeoutError where that takes too long.

    A socket's own limit is for each piece of an answer, and none for a name. What hangs is left behind: a thread of
    this kind does not keep the program from ending.
    """
    future: Future = Future()

    def work() -> None:
        try:
            future.set_result(do())
        except Exception as error:
            future.set_exception(error)

    Thread(target=work, daemon=True).start()
    try:
        return future.result(SECONDS)
    except Late:
        raise TimeoutError(f"no whole answer within {SECONDS} s") from None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows as pip and git do: a HEAD stays one, and a login goes along only to where it is for."""

    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302  # before Python 3.11

    def redirect_request(self, req, fp, code, *words):
        new = super().redirect_request(req, fp, 307 if code == 308 else code, *words)
        if new is None:
            return None
        new.method = req.get_method()
        secret = req.unredirected_hdrs.get("Authorization")
        if secret and (new.type, new.host) == (req.type, req.host):
            new.add_unredirected_header("Authorization", secret)
        return new


class _SeenError(OSError):
    """The certificate was seen, which is all that was wanted; `names` are those that it is for."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(*names)
        self.names = names


class _Looks(http.client.HTTPSConnection):
    """A connection on which nothing is asked: it ends with _SeenError."""

    def connect(self) -> None:
        super().connect()
        alternatives = self.sock.getpeercert().get("subjectAltName", ())
        self.close()
        raise _SeenError([value for _unused, value in alternatives])


class _Https(urllib.request.HTTPSHandler):
    """As the one that comes along, with another kind of connection."""

    def __init__(self, context: ssl.SSLContext, connection: type[http.client.HTTPSConnection]) -> None:
        super().__init__(context=context)
        self.context, self.connection = context, connection

    def https_open(self, req):
        return self.do_open(self.connection, req, context=self.context)


def _opener(context: ssl.SSLContext, connection=http.client.HTTPSConnection) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_Https(context, connection), _Redirects())
