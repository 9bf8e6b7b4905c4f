"""What a name of a host's may be, and that no path made of one leaves its folder."""

import pytest

from provisioner.text import bounds, names


@pytest.mark.parametrize("name", ["20261123T142146Z-1d6092", "r", "20261123T142146Z", "a.b_c-d"])
def test_a_run_id(name):
    assert names.run_id(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc", "a/b", "a\n", "a\0", "-rf", ".hidden", "a" * 101, "é", None, 1, ["r"], {}]
)
def test_no_run_id(name):
    with pytest.raises(ValueError, match="is not the id of a run"):
        names.run_id(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a\0", "x" * 256, "\ud800", None, 7])
def test_no_host(name):
    with pytest.raises(ValueError):
        names.host(name)


@pytest.mark.parametrize("name", ["gpu-01", "fe80::1", "a host", ".x", "é\u2028"])
def test_a_host_is_called_as_its_inventory_likes(name):
    assert names.host(name) == name


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "a/../b", "..", "a//b", "./a", "a\nb", "a/\x1b[2J", "d/" * 20 + "f"]
)
def test_no_file_of_evidence(name):
    with pytest.raises(ValueError):
        names.file(name)


def test_a_file_of_evidence():
    assert (
        str(names.file("r/files/.devcontainer/Dockerfile.scenario-a")) == "r/files/.devcontainer/Dockerfile.scenario-a"
    )
    assert len(names.file("/".join("d" * bounds.DEPTH)).parts) == bounds.DEPTH


def test_what_is_inside_stays_inside(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "out").symlink_to("/etc")
    (folder / "loop").symlink_to("loop")
    assert names.inside(folder, "h1/r") == folder / "h1/r"
    for name in ("..", "../x", "/etc", ".", "", "a/../../x", "out", "out/passwd", "loop", "a\0"):
        with pytest.raises(ValueError):
            names.inside(folder, name)


def test_a_state_directory_may_be_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "state").symlink_to("there")
    assert names.inside(tmp_path / "state", "h1") == tmp_path / "state" / "h1"
