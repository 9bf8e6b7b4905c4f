"""The command line as people have it in their fingers: help, what was meant, options that mean nothing here."""

import pytest

from provisioner import cli as command_line

NEEDED = {
    "audit": ["x"],
    "compare": ["x", "y"],
    "export": ["-"],
    "import": ["x"],
    "delete": ["x"],
    "prune": ["--keep", "3"],
    "lab ssh": [],  # what follows its argument is another program's
}
VALUES = {"forks": ["3"], "json": [], "verbose": []}
MEANINGLESS = [
    (command, option)
    for command in command_line.COMMANDS
    for option in command_line.COMMON
    if option.name not in command.common
]


def said(cli, *arguments):
    """Run a command line that is refused, and give the line that says why."""
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "") and err.startswith("provisioner: ") and err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("arguments", [[], ["help"], ["-h"]])
def test_alone_it_shows_its_help(cli, arguments):
    code, out, err = cli(*arguments)
    assert (code, err) == (0, "") and out == cli("--help")[1]


@pytest.mark.parametrize(
    ("arguments", "same"),
    [(["lab"], ["lab", "--help"]), (["help", "lab", "up"], ["lab", "up", "-h"]), (["help", "run"], ["run", "-h"])],
)
def test_a_group_alone_and_help_show_help(cli, arguments, same):
    assert cli(*arguments) == cli(*same)
    assert cli(*arguments)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["fcats"], "'fcats' is not a command; did you mean facts? see `provisioner --help`"),
        (["Prepare"], "did you mean prepare?"),
        (["--json", "plna"], "did you mean plan?"),
        (["dresses"], "did you mean lab dresses?"),
        (["lab", "statsu"], "'lab statsu' is not a command; did you mean lab status? see `provisioner lab --help`"),
        (
            ["run", "--max-job", "3"],
            "run has no option --max-job; did you mean --max-jobs? see `provisioner run --help`",
        ),
        (["run", "--max_jobs=3"], "did you mean --max-jobs?"),
        (["--forsk", "3", "run"], "provisioner has no option --forsk; did you mean --forks? see `provisioner --help`"),
        (["facts", "--sicne", "7d"], "did you mean --since?"),
        (["lab", "up", "--coutn=3"], "did you mean --count?"),
        (["prepare", "--fresh"], "prepare has no option --fresh; run has it; see `provisioner prepare --help`"),
        (["audit", "--profil", "x"], "audit has no option --profil; see"),
        (
            ["facts", "-o", "jsn"],
            "argument -o/--output: 'jsn' is none of table, json, yaml, csv; did you mean json? see",
        ),
        (["compare", "a", "b", "--phase", "complie"], "--phase complie is not a phase; did you mean compile?"),
        (["bundle", "--runtime", "natvie"], "--runtime 'natvie' is not a runtime; did you mean native?"),
        (["run", "--runtime", "natvie"], "--runtime is 'natvie'; did you mean native?"),
        (["run", "--profile", "registry"], "--profile: no profile named 'registry'; did you mean registries?"),
        (["run", "-e", "provisioner_profile=registry"], "no profile named 'registry'; did you mean registries?"),
        (["lab", "up", "--as", "engine-tcp"], "--as: there is no dress 'engine-tcp'; did you mean engine-on-tcp"),
    ],
)
def test_what_was_meant_is_asked(cli, arguments, meant):
    assert meant in said(cli, *arguments)


@pytest.mark.parametrize("arguments", [["zzzzzz"], ["run", "--zzzzzz"], ["-z", "run"], ["run", "-z"]])
def test_where_nothing_is_near_nothing_is_asked(cli, arguments):
    err = said(cli, *arguments)
    assert "did you mean" not in err and "--help`" in err


def test_names_that_this_machine_knows_are_suggested(cli, keep, inventory):
    kept = keep(host="gpu-01")
    wrong = kept["run_id"][:-1] + "_"
    assert f"did you mean {kept['run_id']}?" in said(cli, "audit", wrong)
    assert f"did you mean {kept['run_id']}?" in said(cli, "delete", wrong, "--yes")
    assert f"--like: no run {wrong!r}; did you mean {kept['run_id']}?" in said(cli, "run", "--like", wrong)
    assert "--host: no run on a host gpu01; did you mean gpu-01?" in said(cli, "facts", "--host", "gpu01")
    assert "--limit: no run on a host gpu01; did you mean gpu-01?" in said(cli, "report", "-l", "gpu01")
    assert "did you mean gpu-01?" in said(cli, "compare", "gpu01", "gpu-01")
    assert "--limit h11 matches no host; did you mean h1?" in said(cli, "prepare", "-i", inventory, "-l", "h11")


@pytest.mark.parametrize(("command", "option"), MEANINGLESS, ids=[f"{c.name} {o.name}" for c, o in MEANINGLESS])
def test_a_common_option_that_means_nothing_to_a_command_is_refused_before_it_and_after_it(cli, command, option):
    for flag in option.flags:
        words, needed = [flag, *VALUES.get(option.name, ["x"])], NEEDED.get(command.name, [])
        says = f"{command.name} does not take {'/'.join(option.flags)}; leave it out; see"
        assert says in said(cli, *words, *command.name.split(), *needed)
        if command.name != "lab ssh":
            assert says in said(cli, *command.name.split(), *needed, *words)


@pytest.mark.parametrize("name", ["run", "prepare", "plan", "doctor", "clean"])
def test_a_command_that_goes_to_hosts_takes_all_common_options(name):
    words = ["-i", "x", "-l", "h", "--profile", "seed", "--runtime", "native", "-e", "a=1", "--forks", "2"]
    words += ["--state-dir", "s", "--json", "-v"]
    before, after = command_line.parse([*words, name]), command_line.parse([name, *words])
    for option in command_line.COMMON:
        assert getattr(before, option.name) == getattr(after, option.name) != option.settings.get("default")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["run", "--username=-5"], "--username is '-5'"),
        (["run", "--xformers-url=-5"], "--xformers-url is '-5'"),
        (["run", "--xformers-ref=-5"], "--xformers-ref is '-5'"),
        (["run", "--arch-list=-5"], "--arch-list is '-5'"),
        (["run", "--max-jobs=-5"], "--max-jobs is '-5'"),
        (["run", "-e", "scenario_max_jobs=-5"], "scenario_max_jobs is '-5'"),
        (["run", "--like=-5"], "--like: no run '-5'"),
        (["run", "--forks=-5"], "--forks: '-5'"),
        (["facts", "--state-dir=~nobody-at-all/x"], "--state-dir: "),
        (["facts", "--trace=/"], "--trace: "),
        (["report", "--html=/"], "--html: "),
        (["report", "--junit=/"], "--junit: "),
        (["bundle", "--output=~nobody-at-all/x"], "--output: "),
        (["lab", "up", "--name=-5"], "--name: '-5'"),
        (["lab", "up", "--user=-5"], "--user: '-5'"),
        (["lab", "up", "--as=-5"], "--as: "),
        (["lab", "up", "--debian=11"], "--debian: '11'"),
        (["lab", "down", "--name=-5"], "--name: '-5'"),
    ],
)
def test_what_is_refused_is_called_what_the_option_is_called(cli, keep, arguments, option):
    keep()
    assert option in said(cli, *arguments)
