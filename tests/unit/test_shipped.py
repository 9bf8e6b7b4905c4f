"""The sums of the scripts that a run is made of."""

from provisioner import __version__, shipped


def test_the_sums_are_of_the_files_as_they_are():
    """Where this fails: `python -m provisioner.shipped`, as part of the change that it is about."""
    assert shipped.load()[__version__] == shipped.sums()


def test_this_version_comes_first():
    assert next(iter(shipped.load())) == __version__
