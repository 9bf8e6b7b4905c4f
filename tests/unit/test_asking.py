"""How addresses are asked: real sockets to a stand-in on a loopback address."""

import base64
import socket
import time
from contextlib import suppress
from threading import Thread

import pytest
from stand_in import Authority, serving

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources import asking
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.asking import Asker, UnreachedError


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """No pause before the second try, and no proxy of this machine's."""
    monkeypatch.setattr(asking, "PAUSE_SECONDS", 0)
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def why(url, asker=None, **options):
    with pytest.raises(UnreachedError) as caught:
        (asker or Asker()).ask(url, **options)
    return str(caught.value)


def remedy(words, url="https://a.example/x", setting="its_url", **options):
    return Asker(**options).remedy(words, url, setting)


def test_an_answer_has_no_more_of_its_body_than_is_wanted():
    with serving(lambda asked: (200, {"Content-Type": "x"}, b"12345")) as server:
        answer = Asker().ask(server.url, read=3)
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"123", "x")
        assert Asker().ask(server.url).body == b""


def test_trouble_that_passes_is_no_trouble():
    codes = iter([503, 200])
    with serving(lambda asked: (next(codes), {}, b"")) as server:
        assert Asker().ask(server.url).status == 200
    replies = iter([None, (200, {}, b"")])
    with serving(lambda asked: next(replies)) as server:
        assert Asker().ask(server.url).status == 200


@pytest.mark.parametrize("code", asking.TROUBLED)
def test_trouble_that_stays_is_asked_of_twice(code):
    with serving(lambda asked: (code, {}, b"")) as server:
        answer = Asker().ask(server.url)
        assert answer.status == code and str(answer).endswith(", asked twice") and len(server.asked) == 2
        assert "run this again later, or use a mirror (set its_url)" in remedy(str(answer))


@pytest.mark.parametrize("code", [401, 403, 404, 429])
def test_what_a_server_is_sure_of_is_asked_once(code):
    with serving(lambda asked: (code, {"Retry-After": "60"}, b"")) as server:
        assert "(Retry-After: 60)" in str(Asker().ask(server.url))
        assert len(server.asked) == 1


def test_an_answer_that_drips_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(asking, "SECONDS", 0.3)

    def drip(listener):
        with suppress(OSError):  # nobody listens any more
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    while connection.send(b"H"):
                        time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=drip, args=(listener,), daemon=True).start()
        assert "asked twice" in why(f"http://127.0.0.1:{listener.getsockname()[1]}/")


def test_what_does_not_answer():
    said = why("http://127.0.0.1:1/")
    assert "refused" in said and "asked twice" not in said
    assert remedy(said).startswith("let this host through to a.example")
    assert "set its_url" in remedy(why("nonsense"))
    assert "set its_url" in remedy(why("ftp://localhost/x"))
    assert "set its_url" in remedy(why("file:///nowhere/at/all"))
    said = why("https://nowhere.invalid/")
    assert "DNS does not find nowhere.invalid" in remedy(said, "https://nowhere.invalid/")
    with serving(lambda asked: (200, {}, b"")) as server:
        assert "speaks no TLS" in remedy(why(server.url.replace("http", "https")))


def test_a_file_of_the_host_s_is_asked_too(tmp_path):
    (tmp_path / "key").write_bytes(b"key")
    answer = Asker().ask(f"file://{tmp_path}/key", read=10)
    assert (answer.status, answer.body) == (200, b"key")


def test_whose_certificate_is_not_trusted_and_whose_is(tmp_path):
    authority = Authority(tmp_path)
    with serving(lambda asked: (200, {}, b""), authority.context()) as server:
        assert Asker(authority.pem).ask(server.url).status == 200
        said = why(server.url)
        assert "name the site's CA bundle" in remedy(said)
        unverified = Asker().context(verified=False)
        assert Asker().ask(server.url, context=unverified).status == 200


@pytest.mark.parametrize(("days", "word"), [(10, "expired"), (-10, "not yet valid")])
def test_a_certificate_whose_time_it_is_not_is_a_clock_s_fault_or_its_server_s(tmp_path, days, word):
    authority = Authority(tmp_path)
    with serving(lambda asked: (200, {}, b""), authority.context(days=days)) as server:
        said = why(server.url, Asker(authority.pem))
    assert word in said
    assert remedy(said, clock_off=3.0) == "have the certificate of a.example renewed"
    assert remedy(said, clock_off=-900000.0).startswith("set the host's clock right: it is 900000 s off")
    assert "where it is, have the certificate of a.example renewed" in remedy(said)


def test_a_certificate_of_another_name_is_told_with_both(tmp_path):
    authority = Authority(tmp_path)
    with serving(lambda asked: (200, {}, b""), authority.context("other.example")) as server:
        said = why(server.url, Asker(authority.pem))
        assert server.asked == []
    assert "'localhost'" in said and "It is for other.example" in said
    assert "set its_url to a name that the certificate is for" in remedy(said)


def test_a_login_in_an_address_is_for_its_host_alone():
    places = {"/away": "/x", "/near": "/there"}

    def answer(asked):
        place = places.get(asked.path)
        return (302, {"Location": place}, b"") if place else (200, {}, b"")

    with serving(answer) as other, serving(answer) as server:
        url = server.url.replace("//", "//me:s3%40cret@")
        Asker().ask(f"{url}/near")
        expected = "Basic " + base64.b64encode(b"me:s3@cret").decode()
        assert [one.headers["Authorization"] for one in server.asked] == [expected, expected]
        places["/away"] = f"{other.url}/x"  # another port is another server
        Asker().ask(f"{url}/away")
        assert [one.headers["Authorization"] for one in other.asked] == [None]


@pytest.mark.parametrize("login", ["me:s3cret", "me:s3cr@t", "s3cret"])
def test_a_login_in_an_address_is_not_shown(login):
    with serving(lambda asked: (200, {}, b"")) as server:
        assert "s3cr" not in str(Asker().ask(server.url.replace("//", f"//{login}@")))
    assert "s3cr" not in why(f"http://{login}@127.0.0.1:1/")


@pytest.mark.parametrize(
    ("code", "word"), [(407, "proxy's user and password"), (403, "have the proxy let this host through to a.example")]
)
def test_what_a_proxy_says(monkeypatch, code, word):
    with serving(lambda asked: (code, {}, b"")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert word in remedy(why("https://a.example/"))
        assert proxy.questions == ["CONNECT a.example:443"]
        monkeypatch.setenv("http_proxy", proxy.url)
        if code == 407:
            assert word in remedy(str(Asker().ask("http://a.example/")))


def test_a_question_by_head_stays_one_where_it_is_sent_on():
    with serving(lambda asked: (200, {}, b"") if asked.path == "/b" else (308, {"Location": "/b"}, b"")) as server:
        assert Asker().ask(f"{server.url}/a", method="HEAD").status == 200
        assert server.questions == ["HEAD /a", "HEAD /b"]


def test_a_ca_bundle_that_is_none():
    with pytest.raises((ValueError, OSError)):
        Asker("nonsense")


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ("u answers 404 Not Found", "mend the address: set its_url"),
        ("u answers 403 Forbidden", "have this host let through"),
        ("u answers 401 Unauthorized", "give a login"),
        ("u answers 429 Too Many", "there were too many requests"),
        ("u: [Errno -3] Temporary failure in name resolution", "the host's DNS"),
        ("u: timed out", "let this host through"),
        ("https://a.example:407/ answers 404", "mend the address"),
    ],
)
def test_the_cause_decides_the_remedy(words, start):
    assert remedy(words).startswith(start)
