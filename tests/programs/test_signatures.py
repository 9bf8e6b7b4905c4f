"""Who vouches for a run's evidence, with keys and signatures of the real ssh-keygen."""

import hashlib
import json
import shutil
import stat
import subprocess
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import evidence_sample
import pytest

from provisioner.runs import archive
from provisioner.signatures import known_hosts, own, receipt, ssh
from provisioner.store import reception
from provisioner.system.files import put

SAMPLE = json.loads((evidence_sample.SAMPLE / "run.json").read_text())
RUN = SAMPLE["run_id"]
SIGN = evidence_sample.BASE / "benchmarking/sign_manifest.sh"


def keygen(*arguments, **options):
    return subprocess.run(["ssh-keygen", *map(str, arguments)], capture_output=True, check=True, **options).stdout


def new_key(path, kind="ed25519"):
    """Make a key, and give its public half as known_hosts has it."""
    keygen("-q", "-t", kind, "-N", "", "-C", "root@somewhere", "-f", path)
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


@pytest.fixture(scope="module")
def etc(tmp_path_factory):
    """The keys of a host, as sshd has them: the folder, and what known_hosts says. No test changes them."""
    folder = tmp_path_factory.mktemp("etc")
    return folder, [new_key(folder / f"ssh_host_{kind}_key", kind) for kind in ("ed25519", "ecdsa")]


@pytest.fixture(scope="module")
def signed_evidence(tmp_path_factory, etc):
    """The sample's evidence, signed by a host: to be copied."""
    folder = evidence_sample.copy(tmp_path_factory.mktemp("signed") / RUN)
    subprocess.run(["bash", SIGN, folder / "manifest.sha256", etc[0]], check=True)
    return folder


def take_in(made, state, sender):
    """Have evidence collected from a host: it lies in the store then, with its receipt and record."""
    folder = state / "runs/gpu-01" / RUN
    sent = subprocess.run(["tar", "-cz", "-C", made.parent, RUN], capture_output=True, check=True).stdout
    reception.bring_in(sent, folder, lambda kept: receipt.made(state, sender, kept))
    reception.record(folder, "gpu-01")


@pytest.fixture(scope="module")
def arrived(tmp_path_factory, signed_evidence, etc):
    """A state directory with that evidence, which came from a host that is known by its keys: to be copied."""
    state = tmp_path_factory.mktemp("arrived") / "state"
    take_in(signed_evidence, state, receipt.Sender(RUN, "gpu-01", "ssh", tuple(etc[1])))
    return state


@pytest.fixture
def arrive(tmp_path, etc, state, request):
    """Have the sample's evidence signed by a host and collected; gives the run's folder in the store."""

    def arrive(*, signed=True, keys=None, change=None, connection="ssh", anew=False):
        folder = state / "runs/gpu-01" / RUN
        if signed and keys is None and change is None and connection == "ssh" and not anew:
            shutil.copytree(request.getfixturevalue("arrived"), state, symlinks=True, dirs_exist_ok=True)
            return folder
        made = tmp_path / "host" / RUN
        if signed:
            shutil.copytree(request.getfixturevalue("signed_evidence"), made)
        else:
            evidence_sample.copy(made)
        if change:
            change(made)
        take_in(made, state, receipt.Sender(RUN, "gpu-01", connection, tuple(etc[1] if keys is None else keys)))
        return folder

    return arrive


@pytest.fixture
def audit(cli):
    """Audit the run: the exit code, what its signatures come to, and each in words."""

    def audit(what=RUN, *options):
        code, out, err = cli("audit", what, "--json", *options)
        told = json.loads(out)["signatures"]
        said = cli("audit", what, *options)[2]
        assert all(f"provisioner: {told[who]['detail']}\n" in said for who in ("host", "controller"))
        assert json.loads(out)["verdict"] in {"incomplete", "rejected"} and "fault in" not in err
        return code, told["host"], told["controller"]

    return audit


def test_both_vouch_for_what_they_saw(arrive, audit, etc):
    arrive()
    code, host, controller = audit()
    assert (code, host["state"], controller["state"]) == (0, "good", "good")
    assert host["detail"] == "unchanged since it left gpu-01"
    assert host["key"] in keygen("-l", "-f", etc[0] / "ssh_host_ed25519_key.pub").decode()
    assert controller["detail"].startswith("received by this controller at 20") and controller["received_at"].endswith(
        "Z"
    )


def test_each_kind_of_key_signs_so_the_one_that_is_known_is_among_them(arrive, audit, etc):
    folder = arrive(keys=etc[1][1:])  # known_hosts may have any
    assert {name for name in archive.read(folder / archive.NAME)[1] if name.endswith(".sig")} == {
        "manifest.sha256.ed25519.sig",
        "manifest.sha256.ecdsa.sig",
    }
    code, host, _ = audit()
    assert (code, host["state"]) == (0, "good")
    assert host["key"] in keygen("-l", "-f", etc[0] / "ssh_host_ecdsa_key.pub").decode()


def test_a_host_without_keys_is_unsigned_and_nothing_fails(arrive, audit):
    arrive(signed=False)
    code, host, controller = audit()
    assert (code, host["state"], host["detail"]) == (0, "none", "unsigned by the host")
    assert controller["state"] == "good"


def test_a_host_that_is_the_controller_vouches_for_nothing(arrive, audit):
    arrive(connection="local", keys=())
    code, host, controller = audit()
    assert (code, host["state"], controller["state"]) == (0, "none", "good")
    assert host["detail"] == "unsigned by the host, which was the controller itself"


def test_a_host_that_nobody_knew_or_that_was_installed_anew(arrive, audit, tmp_path, state):
    folder = arrive(keys=())
    code, host, _ = audit()
    assert (code, host["state"]) == (0, "unknown") and "known_hosts had no key of gpu-01" in host["detail"]
    shutil.rmtree(folder.parent)
    shutil.rmtree(tmp_path / "host")
    arrive(keys=[new_key(tmp_path / "before")])
    code, host, _ = audit()
    assert (code, host["state"]) == (0, "unknown") and "was known by another key: it was reinstalled" in host["detail"]


def test_evidence_that_was_changed_on_its_way_is_told_and_4(arrive, audit):
    """By whoever made the manifest anew, and could not sign it."""

    def change(folder):
        (folder / "commit.txt").write_text("0" * 40)
        evidence_sample.seal(folder)
        lines = (folder / "manifest.sha256").read_text().splitlines(keepends=True)
        (folder / "manifest.sha256").write_text("".join(line for line in lines if not line.endswith(".sig\n")))

    arrive(change=change)
    code, host, controller = audit()
    assert (code, host["state"], controller["state"]) == (4, "bad", "good")
    assert host["detail"].startswith("the host's signature is not of this manifest")


def test_evidence_that_is_not_as_the_manifest_says_is_not_vouched_for(arrive, audit):
    arrive(change=lambda folder: (folder / "commit.txt").write_text("0" * 40))
    code, host, _ = audit()
    assert (code, host["state"]) == (4, "bad") and "evidence_is_whole" in host["detail"]


def repack(folder, **files):
    run, contents = archive.read(folder / archive.NAME)
    put(folder / archive.NAME, archive.pack(run, contents | files))


ALTERED = {
    "the archive": (lambda folder: repack(folder, **{"container/x": b"x"}), "altered after the controller received it"),
    "the receipt": (
        lambda folder: (folder / receipt.NAME).write_text(
            (folder / receipt.NAME).read_text().replace("gpu-01", "gpu-02")
        ),
        "signature is not of this receipt",
    ),
    "a receipt that is none": (lambda folder: (folder / receipt.NAME).write_text("[" * 9999), "receipt is broken"),
    "no signature": (lambda folder: (folder / receipt.SIGNATURE).unlink(), "signature is not of this receipt"),
    "a signature that is none": (lambda folder: (folder / receipt.SIGNATURE).write_text("x"), "not of this receipt"),
    "a signature without end": (lambda folder: (folder / receipt.SIGNATURE).write_bytes(bytes(2**20)), "not of this"),
    "a time that no clock tells": (
        lambda folder: (folder / receipt.NAME).write_text(
            json.dumps(json.loads((folder / receipt.NAME).read_text()) | {"received_at": "0001-01-01T00:00:00+23:59"})
        ),
        "receipt is broken",
    ),
    "a receipt without end": (lambda folder: (folder / receipt.NAME).write_bytes(bytes(2**20)), "receipt is broken"),
    "a link": (
        lambda folder: ((folder / receipt.NAME).unlink(), (folder / receipt.NAME).symlink_to("/etc/passwd")),
        "receipt is broken",
    ),
}


@pytest.mark.parametrize(("alter", "said"), ALTERED.values(), ids=ALTERED)
def test_what_was_altered_after_it_arrived_is_told_and_4(arrive, audit, alter, said):
    alter(arrive())
    code, host, controller = audit()
    assert (code, controller["state"]) == (4, "bad") and said in controller["detail"]
    assert host["state"] in {"unknown", "bad"}, "whose key it is said the receipt alone"


@pytest.mark.parametrize("content", [b"", b"x", bytes(2**20), b"-----BEGIN SSH SIGNATURE-----\nAAAA\n"])
def test_a_signature_of_the_host_that_is_none(arrive, audit, content):
    arrive(change=lambda folder: (folder / "manifest.sha256.rsa.sig").write_bytes(content))
    code, host, controller = audit()
    assert (code, host["state"]) == ((4, "bad") if content else (0, "good"))
    assert controller["state"] == "good"


def test_a_run_that_began_at_no_time(arrive, audit):
    def change(folder):
        run = json.loads((folder / "run.json").read_text()) | {"started_at": "9999-12-31T23:59:59Z"}
        (folder / "run.json").write_text(json.dumps(run))

    arrive(change=change)
    assert audit()[0] == 4, "edited"


def test_a_receipt_of_another_run_vouches_for_nothing(arrive, audit, state):
    folder = arrive()
    sender = receipt.Sender("another", "gpu-01", "ssh", ())
    for name, data in receipt.made(state, sender, (folder / archive.NAME).read_bytes()).items():
        (folder / name).write_bytes(data)
    code, _, controller = audit()
    assert (code, controller["state"]) == (4, "bad") and "receipt is of another run" in controller["detail"]


def test_a_stranger_s_controller_is_not_known_until_it_is_named(arrive, audit, tmp_path, state):
    folder = arrive()
    other = tmp_path / "other"
    code, host, controller = audit(folder, "--state-dir", other)
    assert (code, controller["state"], host["state"]) == (0, "unknown", "unknown")
    assert "by a controller that is not known here, whose key is SHA256:" in controller["detail"]
    assert host["detail"] == "unchanged since it left gpu-01, if that controller is to be believed"
    (other / "signing").mkdir(parents=True)
    line = f'lab@example namespaces="provisioner-receipt" {own.public(state)}\n'
    (other / "signing/allowed_signers").write_text(line)
    code, host, controller = audit(folder, "--state-dir", other)
    assert (code, controller["state"], host["state"]) == (0, "good", "good")
    assert controller["detail"].startswith("received by lab@example at ")
    (other / "signing/allowed_signers").write_text(line.replace("receipt", "evidence"))
    assert audit(folder, "--state-dir", other)[2]["state"] == "unknown", "it may not sign for that"


def test_a_host_that_the_user_names_needs_no_receipt(arrive, audit, tmp_path, etc, state):
    folder = arrive(keys=())
    (folder / receipt.NAME).unlink()
    line = f'"the rack" namespaces="provisioner-evidence" {etc[1][0]}\n'
    (state / "signing/allowed_signers").write_text(line)
    code, host, controller = audit()
    assert (code, host["state"], controller["state"]) == (0, "good", "none")
    assert host["detail"] == "unchanged since it left the rack"
    (state / "signing/revoked_keys").write_text(f"{etc[1][0]}\n")
    code, host, _ = audit()
    assert (code, host["state"]) == (4, "revoked") and "a key that was revoked" in host["detail"]


def test_a_revoked_key_vouches_for_nothing(arrive, audit, etc, state):
    arrive()
    (state / "signing/revoked_keys").write_text("".join(f"{key}\n" for key in etc[1]))
    code, host, controller = audit()
    assert (code, host["state"], controller["state"]) == (4, "revoked", "good")
    (state / "signing/revoked_keys").write_text(f"{own.public(state)}\n")
    code, host, controller = audit()
    assert (code, controller["state"], host["state"]) == (4, "revoked", "unknown")


def test_clocks_that_cannot_both_be_right_are_said_and_accuse_nobody(arrive, cli, monkeypatch):
    class Early(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2020, 1, 1, tzinfo=tz)

    monkeypatch.setattr(receipt, "datetime", Early)
    arrive(anew=True)
    code, _, err = cli("audit", RUN)
    assert code == 0 and f"the clocks differ: by that of gpu-01 it began at {SAMPLE['started_at'][:10]}" in err
    assert "received by this controller at 2020-01-01" in err


def test_a_time_to_come_is_said(arrive, cli, monkeypatch, state):
    class Late(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) + timedelta(days=1)

    monkeypatch.setattr(receipt, "datetime", Late)
    arrive(anew=True)
    assert "received in the future" in cli("audit", RUN)[2]


def test_without_ssh_keygen_evidence_arrives_all_the_same(arrive, audit, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("tar", "gzip", "bash"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    arrive(signed=False)
    code, host, controller = audit()
    assert (code, host["state"], controller["state"]) == (0, "none", "none")
    assert host["detail"] == "unsigned by the host"
    assert controller["detail"] == (
        "unsigned by the controller: ssh-keygen is not installed; OpenSSH 8.2 or later has it"
    )


# ---- ssh-keygen that judges nothing ---------------------------------------------------------------------------------


REAL = shutil.which("ssh-keygen")
UNABLE = {
    "missing": (None, "ssh-keygen is not installed; OpenSSH 8.2 or later has it"),
    "no program": ("\0", "ssh-keygen cannot be started: "),
    "slow": ("#!/bin/sh\nexec sleep 9\n", "ssh-keygen did not answer within "),
    "old": (
        "#!/bin/sh\necho unknown option -- Y >&2; exit 1\n",
        "ssh-keygen is too old; OpenSSH 8.2 or later is needed",
    ),
    "of another mind": (
        "#!/bin/sh\necho Signature verification failed: error in libcrypto >&2; exit 255\n",
        "ssh-keygen says: Signature verification failed: error in libcrypto",
    ),
    "silent": ("#!/bin/sh\nexit 1\n", "ssh-keygen does not say why"),
}


@pytest.fixture
def put_keygen(monkeypatch, tmp_path):
    """Have the PATH be a folder with this ssh-keygen, or with none, beside what the scripts call."""

    def put(script):
        folder = tmp_path / "keygen"
        folder.mkdir()
        for name in ("sh", "sleep", "grep"):
            (folder / name).symlink_to(shutil.which(name))
        if script is not None:
            (folder / "ssh-keygen").write_text(script)
            (folder / "ssh-keygen").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(ssh, "SECONDS", 2)

    return put


@pytest.mark.parametrize(("script", "said"), UNABLE.values(), ids=UNABLE)
def test_an_ssh_keygen_that_cannot_judge_accuses_nobody(arrive, audit, put_keygen, script, said):
    arrive()
    put_keygen(script)
    code, host, controller = audit()
    assert (code, host["state"], controller["state"]) == (0, "unknown", "unknown")
    assert all("signed, but by whom is not known: " + said in one["detail"] for one in (host, controller))


def test_a_key_that_is_refused_here_by_policy_leaves_the_others(arrive, audit, put_keygen, etc):
    arrive()
    put_keygen(
        f"""#!/bin/sh
case "$*" in *provisioner-evidence*check*|*check*provisioner-evidence*) ;; *) exec {REAL} "$@" ;; esac
said=$({REAL} "$@") || exit
case $said in *ED25519*) echo Signature verification failed: error in libcrypto >&2; exit 255 ;; esac
echo "$said"
"""
    )
    code, host, controller = audit()
    assert (code, host["state"], controller["state"]) == (0, "good", "good")
    assert host["key"] == ssh.fingerprint(etc[1][1])


@pytest.mark.parametrize("name", ["revoked_keys", "allowed_signers"])
@pytest.mark.parametrize("how", ["nonsense", "folder", "loop"])
def test_a_file_of_keys_that_is_of_no_use_is_named_and_accuses_nobody(  # noqa: PLR0917
    arrive, audit, tmp_path, state, name, how
):
    folder = arrive()
    other = tmp_path / "other" if name == "allowed_signers" else state
    (other / "signing").mkdir(parents=True, exist_ok=True)
    path = other / "signing" / name
    if how == "folder":
        path.mkdir()
    elif how == "loop":
        path.symlink_to(path)
    else:
        path.write_text("nonsense\n")
    code, host, controller = audit(folder, "--state-dir", other)
    assert (code, host["state"], controller["state"]) == (0, "unknown", "unknown")
    assert all(f"{path} cannot be used, mend it" in one["detail"] for one in (host, controller))


def test_a_fingerprint_is_ssh_keygen_s(etc):
    for key, path in zip(etc[1], ("ssh_host_ed25519_key", "ssh_host_ecdsa_key"), strict=True):
        assert f" {ssh.fingerprint(key)} " in keygen("-l", "-f", etc[0] / f"{path}.pub").decode()
    assert ssh.fingerprint("ssh-rsa A") == "none"


def test_evidence_of_before_has_no_signatures(cli, tmp_path):
    folder = evidence_sample.copy(tmp_path / "loose")
    code, _, err = cli("audit", folder)
    assert code == 0 and "unsigned by the host" in err and "no controller has signed for its arrival" in err


def test_the_key_is_made_once_and_for_its_owner_alone(state):
    first = own.key(state)
    before = first.read_bytes()
    assert stat.S_IMODE(first.stat().st_mode) == 0o600 and stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert own.key(state).read_bytes() == before
    assert first.with_name("id_ed25519.pub").read_text().split() == own.public(state).split(), "no name of who made it"
    assert sorted(path.name for path in first.parent.iterdir()) == ["id_ed25519", "id_ed25519.pub", "lock"]


def test_a_key_that_was_half_made_is_made_anew(state):
    (state / "signing").mkdir(parents=True)
    for name in ("new", "new.pub", "id_ed25519.pub"):
        (state / "signing" / name).write_text("half")
    key = own.key(state)
    assert own.public(state).split()[1] in keygen("-y", "-f", key).decode()


def test_the_receipt_holds_sums_and_keys_and_nothing_of_who_took_it(arrive):
    folder = arrive()
    value = json.loads((folder / receipt.NAME).read_text())
    assert set(value) == {
        *("schema", "run_id", "host", "connection", "host_keys", "received_at", "archive_sha256"),
        *("controller_key", "unsigned"),
    }
    assert value["archive_sha256"] == hashlib.sha256((folder / archive.NAME).read_bytes()).hexdigest()
    assert "PRIVATE" not in (folder / receipt.NAME).read_text() + (folder / receipt.SIGNATURE).read_text()


def test_what_is_kept_is_the_evidence_packed_as_we_pack(arrive, signed_evidence):
    evidence = {p.relative_to(signed_evidence).as_posix(): p for p in signed_evidence.rglob("*") if p.is_file()}
    packed = archive.pack(RUN, {name: path.read_bytes() for name, path in evidence.items()})
    assert (arrive() / archive.NAME).read_bytes() == packed


def test_anybody_can_verify_by_hand(arrive, tmp_path, etc, state):
    """As docs/audit.md says, but for tar, which calls xz: not every host has that."""
    folder = arrive()
    with tarfile.open(folder / archive.NAME) as packed:
        packed.extractall(tmp_path, filter="data")
    manifest = tmp_path / RUN / "manifest.sha256"
    signers = tmp_path / "signers"
    signers.write_text(f"gpu-01 {etc[1][0]}\n")
    options = ("-Y", "verify", "-f", signers, "-I", "gpu-01", "-n", "provisioner-evidence")
    assert b"Good" in keygen(*options, "-s", f"{manifest}.ed25519.sig", input=manifest.read_bytes())
    signers.write_text(f"us {own.public(state)}\n")
    options = ("-Y", "verify", "-f", signers, "-I", "us", "-n", "provisioner-receipt")
    assert b"Good" in keygen(*options, "-s", folder / receipt.SIGNATURE, input=(folder / receipt.NAME).read_bytes())


# ---- what known_hosts says -------------------------------------------------------------------------------------------


@pytest.fixture
def asked(tmp_path):
    """Ssh with a known_hosts of the test's own: its path, and the command."""
    path = tmp_path / "known hosts"
    return path, [
        "ssh",
        "-F",
        "none",
        "-o",
        f'UserKnownHostsFile=/no/such/file "{path}"',
        "-o",
        "GlobalKnownHostsFile=none",
    ]


def test_the_keys_are_those_that_ssh_would_look_for(asked, etc, tmp_path):
    path, command = asked
    one, other = etc[1]
    revoked, authority = new_key(tmp_path / "r"), new_key(tmp_path / "a")
    lines = (f"gpu-01 {one}", f"[gpu-01]:2222 {other}", f"@revoked gpu-01 {revoked}", f"gpu-01 {revoked}")
    path.write_text("".join(f"{line}\n" for line in (*lines, f"@cert-authority gpu-* {authority}", "alias " + other)))
    assert known_hosts.keys(command, "gpu-01") == [one]
    assert known_hosts.keys([*command, "-p", "2222"], "gpu-01") == [other]
    assert known_hosts.keys([*command, "-p", "2222", "-o", "HostKeyAlias=alias"], "gpu-01") == [other]
    assert known_hosts.keys(command, "gpu-02") == []
    keygen("-q", "-H", "-f", path)
    assert known_hosts.keys(command, "gpu-01") == [one], "names may be hashed"


def test_where_nobody_can_be_asked_no_key_is_known(asked):
    path, command = asked
    assert known_hosts.keys(command, "gpu-01") == []
    path.write_text("gpu-01 nonsense\n\0\n")
    assert known_hosts.keys(command, "gpu-01") == []
    assert known_hosts.keys(["/no/such/ssh"], "gpu-01") == []
    assert known_hosts.keys(command, "-oProxyCommand=x") == []


# ---- on the host -----------------------------------------------------------------------------------------------------


def test_the_script_leaves_nothing_where_it_cannot_sign(tmp_path, etc):
    made = tmp_path / "evidence"
    made.mkdir()
    (made / "manifest.sha256.part").write_text("sums")
    locked = tmp_path / "locked"
    locked.mkdir()
    keygen("-q", "-t", "ed25519", "-N", "a passphrase", "-f", locked / "ssh_host_ed25519_key")
    for folder in (tmp_path / "none", locked):
        done = subprocess.run(["bash", SIGN, made / "manifest.sha256.part", folder], capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"", b"")
        assert [path.name for path in made.iterdir()] == ["manifest.sha256.part"]
    subprocess.run(["bash", SIGN, made / "manifest.sha256.part", etc[0]], check=True)
    assert sorted(path.name for path in made.iterdir()) == [
        "manifest.sha256.ecdsa.sig",
        "manifest.sha256.ed25519.sig",
        "manifest.sha256.part",
    ]


def test_no_key_is_in_an_argument(tmp_path):
    """Only its path is."""
    text = Path(SIGN).read_text()
    assert "ssh_host_" in text and "cat" not in text.split("set -uo pipefail")[1]
