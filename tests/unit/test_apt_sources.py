"""Which repositories a host has, and what its own archives lack, by what apt says; its answers are made up here, as apt
2.6 gives them.
"""

from types import SimpleNamespace

import pytest

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import apt_sources as sources
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError

DOCKER = {"name": "docker", "url": "https://download.docker.com/linux/debian", "components": "stable"}
TOOLKIT = {"name": "toolkit", "url": "https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH)"}
OWN = "/etc/apt/sources.list.d/own.sources"


class Apt(Host):
    """A Debian 12 host. Its sources are (uri, suite, component, entry, origin, codename), the last two where a Release
    file is there; `refusals` is what apt says, in turn, against a source that is tried beside them.
    """

    def __init__(self, *rows, refusals=()):
        super().__init__()
        self.rows, self.refusals, self.tried = rows, list(refusals), []
        self.os_release = {"ID": "debian", "VERSION_CODENAME": "bookworm"}

    def run(self, *command):
        if "-o" in command:
            folder = command[command.index("-o") + 1].partition("=")[2]
            self.tried.append((sources.Path(folder) / "zzz-tried.sources").read_text())
            errors = self.refusals.pop(0) if self.refusals else ""
            return (100 if errors else 0), "", errors
        if command[0] != "apt-get":
            return 0, "", ""
        unknown = ("$(ORIGIN)", "$(CODENAME)")
        listed = [
            sources.SEPARATOR.join([*row[:4], *unknown] if "--no-release-info" in command else row)
            for row in self.rows
            if len(row) == 6 or "--no-release-info" in command
        ]
        return 0, "".join(f"{line}\n" for line in listed), ""


def row(uri, suite="bookworm", component="stable", entry="/etc/apt/sources.list.d/site.list:1"):
    return uri, suite, component, entry


@pytest.mark.parametrize(
    "uri",
    [
        "https://download.docker.com/linux/debian/",
        "http://download.docker.com/linux/debian/",
        "https://download.docker.com///linux/debian//",
        "https://me:secret@Download.Docker.com/linux/debian/",
        "http://cacher:3142/HTTPS///download.docker.com/linux/debian/",
        "http://cacher:3142/download.docker.com/linux/debian/",
        "tor+https://download.docker.com/linux/debian/",
    ],
)
def test_a_repository_is_known_by_what_its_address_names(uri):
    assert sources.configured(Apt(row(uri)), DOCKER, "bookworm") == "/etc/apt/sources.list.d/site.list:1"


@pytest.mark.parametrize(
    "other",
    [
        row("https://download.docker.com/linux/ubuntu/"),
        row("https://download.docker.com.evil/linux/debian/"),
        row("https://mydownload.docker.com/linux/debian/"),
        row("https://download.docker.com/linux/debian/", "bullseye"),
    ],
)
def test_another_repository_is_another(other):
    assert sources.configured(Apt(other), DOCKER, "bookworm") == ""


def test_a_flat_repository_with_a_variable_in_its_address():
    flat = row("https://nvidia.github.io/libnvidia-container/stable/deb/amd64/", "", "$(COMPONENT)")
    assert sources.configured(Apt(flat), TOOLKIT, "/")
    assert not sources.configured(Apt(flat), {**TOOLKIT, "url": "https://nvidia.github.io/other/deb/$(ARCH)"}, "/")


def test_a_list_of_mirrors_is_read(tmp_path):
    (tmp_path / "mirrors").write_text(
        "https://near/docker\thttps\nhttps://download.docker.com/linux/debian priority:2\n\n"
    )
    assert sources.configured(Apt(row(f"mirror+file:{tmp_path}/mirrors/")), DOCKER, "bookworm")


def test_a_repository_without_the_component_is_refused_in_one_line():
    host = Apt(row(DOCKER["url"], component="test"), row(DOCKER["url"], component="nightly"))
    with pytest.raises(RefusalError, match=r"docker by /etc/apt/sources.list.d/site.list:1, without stable; add that"):
        sources.configured(host, DOCKER, "bookworm")
    assert sources.configured(Apt(*host.rows, row(DOCKER["url"])), DOCKER, "bookworm")


def test_sources_that_apt_cannot_read_are_told_in_its_words():
    host = SimpleNamespace(
        run=lambda *_: (100, "", "W: x\nE: Malformed entry 1 in list file /x\nE: The list of sources")
    )
    with pytest.raises(
        RefusalError, match=r"^apt cannot read the host's sources: Malformed entry 1 in list file /x; mend"
    ):
        sources.targets(host)


# --- what the distribution's own archives lack ---

DEBIAN = "http://deb.debian.org/debian/"
SITE = "mirror+file:/etc/apt/mirrors/debian.list/"
COMPONENTS = ["contrib", "non-free"]


def test_the_distribution_s_own_archives_get_what_is_missing():
    host = Apt(
        (DEBIAN, "bookworm", "main", "/etc/apt/sources.list:1", "Debian", "bookworm"),
        (DEBIAN, "bookworm", "contrib", "/etc/apt/sources.list:1", "Debian", "bookworm"),
        # By another name of the release, from a mirror whose address tells nothing.
        (SITE, "stable-updates", "main", "/etc/apt/x:1", "Debian", "bookworm-updates"),
        ("http://apt.vendor/", "bookworm", "main", "/etc/apt/x:2", "Vendor", "bookworm"),
        (DEBIAN, "bookworm-backports", "main", "/etc/apt/x:3", "Debian", "bookworm-backports"),
        # What our own file has does not count.
        (DEBIAN, "bookworm", "non-free", f"{OWN}:2", "Debian", "bookworm"),
    )
    assert sources.lacking(host, OWN, COMPONENTS) == (
        f"Types: deb\nURIs: {DEBIAN}\nSuites: bookworm\nComponents: non-free\n\n"
        f"Types: deb\nURIs: {SITE}\nSuites: stable-updates\nComponents: contrib non-free"
    )


def test_a_host_that_was_never_updated_has_its_archives_known_by_their_addresses():
    host = Apt(row(DEBIAN, component="main"), row("http://apt.vendor/", component="main"))
    assert sources.lacking(host, OWN, COMPONENTS).count("URIs:") == 1
    assert sources.lacking(Apt(row(DEBIAN, component="contrib")), OWN, COMPONENTS) == ""


def test_options_of_the_site_are_taken_over_as_apt_tells_them():
    conflict, where = "E: Conflicting values set for option", f"regarding source {DEBIAN} bookworm"
    host = Apt(
        row(DEBIAN, component="main"),
        refusals=[
            f"{conflict} Signed-By {where}: /a.gpg,/b.gpg != \nE: The list of sources",
            f"{conflict} Trusted {where}\n{conflict} Check-Date {where}",
            f"{conflict} Check-Date {where}\n",
        ],
    )
    assert sources.lacking(host, OWN, ["non-free"]).splitlines()[4:] == [
        "Signed-By: /a.gpg,/b.gpg",
        "Trusted: yes",
        "Check-Date: no",
    ]
    assert len(host.tried) == 4


def test_a_key_in_the_source_itself_is_taken_over():
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n   mDMEaw\n   =+dm1\n   -----END PGP PUBLIC KEY BLOCK-----"
    refusal = (
        f"E: Conflicting values set for option Signed-By regarding source {DEBIAN} bookworm: {key}\n    != \nE: The"
    )
    host = Apt(row(DEBIAN, component="main"), refusals=[refusal])
    assert sources.lacking(host, OWN, ["non-free"]).splitlines()[4:] == [
        "Signed-By: ",
        " -----BEGIN PGP PUBLIC KEY BLOCK-----",
        " .",
        " mDMEaw",
        " =+dm1",
        " -----END PGP PUBLIC KEY BLOCK-----",
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        f"E: Conflicting values set for option Valid-Until-Max regarding source {DEBIAN} bookworm\n",
        "E: Malformed stanza 2 in source list /etc/apt/x (type)\n",
    ],
)
def test_what_apt_does_not_take_beside_the_host_s_own_is_refused(refusal):
    host = Apt(row(DEBIAN, component="main"), refusals=[refusal] * 9)
    refused = r"lacks non-free, and apt refuses a source of provisioner's for that: (Conf|Malf)"
    with pytest.raises(RefusalError, match=refused):
        sources.lacking(host, OWN, ["non-free"])
