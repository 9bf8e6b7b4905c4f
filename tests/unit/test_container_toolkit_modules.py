"""The modules that the container toolkit's role changes a host with: what they would run, and what they refuse."""

import importlib

import pytest


class Host:
    """A host whose packages are what its package manager was told; keeps what was run."""

    def __init__(self, tools=(), answers=()):
        self.tools, self.answers, self.ran = tools, dict(answers), []
        self.held, self.packages = set(), {}

    def which(self, name):
        return name if name in self.tools else ""

    def run(self, *command):
        self.ran.append(command)
        found = [answer for start, answer in self.answers.items() if " ".join(command).startswith(start)]
        return found[0] if found else (0, "", "")

    def ask(self, *command):
        return self.run(*command)[1]


@pytest.mark.parametrize("url", ["ftp://x/key", "/etc/key", "data:text/plain,x"])
def test_an_address_of_a_kind_that_is_not_known(url):
    repositories = importlib.import_module("signed_repository")
    with pytest.raises(ValueError, match="https://"):
        repositories.fetched({"key_url": url, "fingerprints": []})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((0, "configuration OK", ""), ""),
        ((125, "", "unknown flag: --validate\nSee 'dockerd --help'."), ""),
        ((127, "", "no such file"), ""),
        ((1, "", "unable to configure: hosts given twice\n"), "unable to configure: hosts given twice"),
    ],
)
def test_what_dockerd_says_of_settings(answer, said):
    module = importlib.import_module("docker_daemon_json")
    assert module.refused(Host(answers={"dockerd --validate": answer}), "/x") == said
