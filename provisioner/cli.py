"""The command line, declared as data: each command with its options, an example and the module that does it.

Nothing here imports what a command needs, so `provisioner --help` stays quick.
"""

import argparse
import functools
import importlib
from collections.abc import Sequence
from typing import cast

from provisioner.command_line import arguments as command_line
from provisioner.command_line.command_table import Command, Option, Table, between, debian, one_of, option, sizes
from provisioner.report import formats

__all__ = ["COMMANDS", "COMMON", "TABLE", "Command", "Option", "parse", "run"]

MANY = 10**9
"""More than there is of anything that an option counts."""

COMMON = (
    option(
        "-i",
        "--inventory",
        values="file",
        metavar="PATH",
        action="append",
        help="an Ansible inventory, or hosts with commas (default: this machine); may be given again",
    ),
    option(
        "-l",
        "--limit",
        values="hosts",
        metavar="PATTERN",
        help="only these hosts of the inventory; @failed: those that failed last time; @not-begun: see --batch",
    ),
    option(
        "--profile",
        values="profiles",
        metavar="NAME",
        help="where things come from: seed (default), registries or offline",
    ),
    option(
        "--runtime",
        values="runtimes",
        metavar="NAME",
        help="what a run happens in: devcontainer or native (default: the profile's)",
    ),
    option(
        "-e",
        "--extra-vars",
        metavar="KEY=VALUE|JSON|@FILE",
        action="append",
        help="set an Ansible variable, those of a JSON or YAML object, or those in a file; may be given again",
    ),
    option("--forks", metavar="N", type=between(1, 1000), default=8, help="hosts at a time (default: 8)"),
    option("--state-dir", values="directory", metavar="DIR", help="where runs and evidence are kept on this machine"),
    option("--json", action="store_true", help="the result as JSON on stdout, and nothing else there"),
    option(
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="all of a table, Ansible's own output, and the traceback of a fault; -vv shows more",
    ),
)

OF_RUNS = ("inventory", "limit", "state_dir", "json", "verbose")
"""The common options of a command that chooses, by their hosts, runs that are kept here."""
OF_HERE = ("state_dir", "json", "verbose")
"""Those of a command that works on this machine alone."""

MIN_RULES = option(
    "--min-rules", metavar="N", type=between(0, MANY), help="only runs that rules N of the audit or later judged"
)

WHICH_RUNS = (
    option(
        "--host",
        values="hosts",
        metavar="PATTERN",
        action="append",
        help="only runs on these hosts; with -i, a group of it too",
    ),
    option("--since", metavar="TIME", help="only runs since then: 12h, 7d, or a date such as 2026-11-23 (UTC)"),
    option("--last", metavar="N", type=between(1, MANY), help="only the newest N of them"),
    MIN_RULES,
)

ALL_RUNS = option("--all", action="store_true", help="in a table every run, not just the newest of each host")

REQUIRE_IDLE = option(
    "--require-idle", action="store_true", help="refuse a host with others' jobs, containers or GPU programs on it"
)

BATCHES = (
    option(
        "--batch",
        metavar="SIZES",
        type=sizes,
        help="begin with so many hosts, then so many, as 1,10%%,100%%; none further where one failed",
    ),
    option(
        "--max-fail",
        metavar="N",
        type=between(0, MANY),
        help="with --batch: go on while no more hosts than N have failed in all (default: 0)",
    ),
)

LAB_NAME = option("--name", values="labs", metavar="NAME", default="lab", help="which lab (default: lab)")

SHELLS = ("bash", "zsh", "fish")

INSTALL_COMPLETION = """\
to install it, for you alone; a new shell then has it:
  bash, with the package bash-completion:
    d=~/.local/share/bash-completion/completions; mkdir -p $d
    provisioner completion bash >$d/provisioner
  bash, without it, in ~/.bashrc:
    . <(provisioner completion bash)
  zsh; the last line belongs into ~/.zshrc, before compinit:
    mkdir -p ~/.zfunc
    provisioner completion zsh >~/.zfunc/_provisioner
    fpath+=~/.zfunc
  fish:
    set d ~/.config/fish/completions; mkdir -p $d
    provisioner completion fish >$d/provisioner.fish"""


def files_of(asked: str) -> tuple[Option, ...]:
    """Return an option for each format that is asked for by the name of its file."""
    found = formats.of(asked).values()
    return tuple(option(f"--{form.name}", values="file", metavar="FILE", help=form.help) for form in found)


def flags_of(asked: str) -> tuple[Option, ...]:
    """Return an option for each format but the first, which is what is written without one."""
    _, *found = formats.of(asked).values()
    return tuple(option(f"--{form.name}", action="store_true", help=form.help) for form in found)


COMMANDS = (
    Command(
        "run",
        "prepare the hosts, lay down Scenario A, compile once, test, and bring back the timings",
        "provisioner run -i fleet.yml --profile registries --max-jobs 8",
        "run",
        (
            option("--username", metavar="NAME", help="GitHub user whose xformers fork is compiled"),
            option("--xformers-url", metavar="URL", help="clone xformers from here instead"),
            option("--xformers-ref", metavar="NAME", help="a branch or tag of it (default: the remote's own)"),
            option("--arch-list", metavar="LIST", help="GPU architectures, such as '8.0;9.0a' or Hopper, or auto"),
            option("--max-jobs", metavar="N", help="compile jobs at a time, or auto"),
            option(
                "--like",
                values="runs",
                metavar="RUN|FILE",
                help="repeat this run, of the store or that somebody sent, as it was told",
            ),
            option("--require-gpu", action="store_true", help="a host without a GPU is a failure"),
            option("--fresh", action="store_true", help="measure anew where a finished run is there already"),
            option("--repeat", metavar="N", type=between(1, 1000), default=1, help="measure N times, each time anew"),
            option("--cold-base", action="store_true", help="remove the base image first, so its pull is timed"),
            *BATCHES,
            REQUIRE_IDLE,
        ),
    ),
    Command(
        "prepare",
        "make each host ready for a run: Docker, the Dev Container CLI and what the profile asks for",
        "provisioner prepare -i fleet.yml -l 'rack1*'",
        "prepare",
        (
            option(
                "--plan",
                values="file",
                metavar="FILE",
                help="do what `plan --out FILE` wrote, on its hosts, and nothing else; a host that changed is refused",
            ),
            *BATCHES,
            REQUIRE_IDLE,
        ),
    ),
    Command(
        "plan",
        "say what prepare and run would change on each host; change nothing; exit 5 on drift",
        "provisioner plan -i fleet.yml --json",
        "plan",
        (option("--out", values="file", metavar="FILE", help="keep the plan, for `prepare --plan FILE`"),),
    ),
    Command(
        "status",
        "ask the hosts for runs in flight and runs that nobody has collected; list those kept here",
        "provisioner status -i fleet.yml",
        "status",
        (
            option("--offline", action="store_true", help="ask no host: where each run was last seen from here"),
            option("--last", metavar="N", type=between(1, MANY), help="of the runs kept here, the newest N"),
            ALL_RUNS,
        ),
        common=("inventory", "limit", "extra_vars", "forks", "state_dir", "json", "verbose"),
    ),
    Command(
        "cancel",
        "stop runs under way on their hosts, whoever began them; their evidence is kept",
        "provisioner cancel -i fleet.yml -l gpu-07",
        "cancel",
        (
            option(
                "run", metavar="RUN", nargs="?", help="only the run of this whole id; `status` shows it (default: all)"
            ),
        ),
    ),
    Command(
        "facts",
        "print the records of finished runs",
        "provisioner facts -o csv -q 'runs[].{host: host, s: total_seconds}'",
        "facts",
        (
            *WHICH_RUNS,
            ALL_RUNS,
            option("-q", "--query", metavar="JMESPATH", help="print only what this JMESPath expression selects"),
            option(
                "-o",
                "--output",
                type=one_of(*formats.of(formats.FACTS)),
                choices=tuple(formats.of(formats.FACTS)),
                help="how to print it (default: table)",
            ),
            *files_of(formats.FILES),
        ),
        common=OF_RUNS,
    ),
    Command(
        "report",
        "show finished runs as a page to look at, or as files for a pull request, CI or monitoring",
        "provisioner report --html report.html --since 30d",
        "report",
        (
            *files_of(formats.REPORT),
            *WHICH_RUNS,
        ),
        common=OF_RUNS,
    ),
    Command(
        "audit",
        "judge a run's evidence again, check by check",
        "provisioner audit 20261123T090807Z",
        "audit",
        (
            option(
                "run",
                values="runs",
                metavar="RUN|DIR|FILE",
                help="the run_id, or as much of its beginning as is unique; or evidence",
            ),
        ),
        common=OF_HERE,
    ),
    Command(
        "compare",
        "compare two sets of runs, phase by phase; exit 1 where --fail-if-slower says so",
        "provisioner compare gpu-01@14d..7d gpu-01@7d.. --fail-if-slower 10%",
        "compare",
        (
            option(
                "a",
                values="sides",
                metavar="A",
                help="a run, host, group (-i), SINCE..UNTIL, HOST@SINCE..UNTIL, baseline or file",
            ),
            option(
                "b",
                values="sides",
                metavar="B",
                nargs="?",
                help="the same, to be set against A; may be left out to save A",
            ),
            option("--save-baseline", metavar="NAME", help="keep A's runs under this name"),
            option("--fail-if-slower", metavar="SHARE", help="exit 1 where B is slower than A by more, such as 10%%"),
            MIN_RULES,
            option(
                "--phase",
                values="phases",
                metavar="NAME",
                default="total",
                help="what --fail-if-slower looks at (default: total)",
            ),
            option("--unverified", action="store_true", help="compare runs that came without evidence, too"),
            option(
                "--allow-different",
                action="store_true",
                help="compare although inputs differ, and rejected runs too",
            ),
        ),
        common=OF_RUNS,
    ),
    Command(
        "export",
        "write the records of finished runs as JSON lines; `import` and `compare` read them",
        "provisioner export --since 7d --evidence runs.tar",
        "export",
        (
            *WHICH_RUNS,
            *flags_of(formats.EXPORT),
            option("file", values="file", metavar="FILE", help="where to; - is stdout"),
        ),
        common=OF_RUNS,
    ),
    Command(
        "import",
        "make records of logs of the original shell benchmark, or take in what `export` wrote",
        "provisioner import 20250812_084413_scenario_a.log --host den",
        "import_files",
        (
            option(
                "file",
                values="file",
                metavar="FILE",
                nargs="+",
                help="a log of scenario_runner.sh, or what `export` wrote",
            ),
            option("--host", metavar="NAME", default="upstream", help="a log's host, which it does not name"),
        ),
        common=OF_HERE,
    ),
    Command(
        "delete",
        "forget runs: remove their records and evidence from this machine",
        "provisioner delete 20261123T090807Z-a1b2c3 --yes",
        "delete",
        (
            option(
                "run",
                values="runs",
                metavar="RUN",
                nargs="+",
                help="a run_id, or as much of its beginning as is unique",
            ),
            option("--yes", action="store_true", help="do not ask"),
        ),
        common=OF_HERE,
    ),
    Command(
        "prune",
        "forget old runs on this machine by a rule; without --yes it only says which",
        "provisioner prune --keep 30d --keep 10",
        "prune",
        (
            option(
                "--keep",
                metavar="RULE",
                action="append",
                required=True,
                help="what stays: 10 (the newest of each host), 30d, 12w or a date; may be given again. The last "
                "accepted run of a host always stays",
            ),
            option("--host", values="hosts", metavar="PATTERN", action="append", help="only runs on these hosts"),
            option("--yes", action="store_true", help="do it"),
        ),
        common=OF_RUNS,
    ),
    Command(
        "bundle",
        "make one archive of all that hosts without a network need, for the profile offline",
        "provisioner bundle --python 3.12 --runtime devcontainer -o bundle.tar",
        "bundle",
        (
            option(
                "-o",
                "--output",
                values="file",
                metavar="FILE",
                help="where to (default: where the profile looks for it)",
            ),
            option("--python", metavar="X.Y", help="the hosts' Python (default: this machine's)"),
            option(
                "--platform",
                metavar="TAG",
                default="manylinux_2_28_x86_64",
                help="the hosts' platform, as wheels name it (default: manylinux_2_28_x86_64)",
            ),
        ),
        common=("runtime", *OF_HERE),
    ),
    Command(
        "doctor",
        "say what is missing here and on the hosts, each with its remedy; change nothing",
        "provisioner doctor -i fleet.yml",
        "doctor",
    ),
    Command(
        "clean",
        "remove what the scenario left on the hosts, and only that",
        "provisioner clean -i fleet.yml",
        "clean",
    ),
    Command(
        "lab up",
        "make throwaway hosts on this machine, with an inventory to reach them by",
        "provisioner lab up -n 2 --debian 12",
        "lab_up",
        (
            option(
                "-n",
                "--count",
                metavar="N",
                type=between(0, MANY),
                help="how many plain hosts (default: 1, with --as 0)",
            ),
            option(
                "--as",
                values="dresses",
                metavar="DRESS",
                dest="dresses",
                nargs="+",
                action="extend",
                default=[],
                help="a host for each of these, made to be as a site's was in a report; see `provisioner lab dresses`",
            ),
            option(
                "--debian",
                values="releases",
                metavar="N",
                type=debian,
                help="which Debian (default: the oldest that there is, or what the dress fits)",
            ),
            option("--user", metavar="NAME", default="root", help="log in as this user (default: root)"),
            option(
                "--stand-ins",
                action="store_true",
                help="one host more, which serves the others what Docker Hub, GitHub, PyTorch, NVIDIA and more would",
            ),
            LAB_NAME,
        ),
        common=OF_HERE,
    ),
    Command(
        "lab ssh",
        "log in to a host of a lab, or run a command there; exit with its code, or ssh's 255",
        "provisioner lab ssh lab-1 -- systemctl --failed",
        "lab_ssh",
        (
            option("host", values="lab_hosts", metavar="NAME", help="a host of any lab of this machine"),
            option(
                "remote",
                metavar="-- COMMAND",
                nargs=argparse.REMAINDER,
                help="what to run there, as ssh takes it (default: a shell)",
            ),
        ),
        common=("state_dir", "verbose"),
    ),
    Command(
        "lab dresses",
        "list what a lab host can be dressed as: sites' hosts, as reports describe them",
        "provisioner lab dresses",
        "lab_dresses",
        common=("json", "verbose"),
    ),
    Command("lab status", "list the labs on this machine", "provisioner lab status", "lab_status", common=OF_HERE),
    Command(
        "lab down",
        "remove a lab and all that belongs to it",
        "provisioner lab down --name lab",
        "lab_down",
        (
            LAB_NAME,
            option("--images", action="store_true", help="remove the images that made it quick as well"),
        ),
        common=("state_dir", "verbose"),
    ),
    Command(
        "completion",
        "print what makes a shell complete commands, options and values",
        "provisioner completion bash",
        "completion",
        (
            option("shell", metavar="SHELL", nargs="?", type=one_of(*SHELLS), choices=SHELLS, help=" or ".join(SHELLS)),
            option("--values", metavar="KIND", help="print values of a kind instead, such as runs: what a shell asks"),
        ),
        common=("state_dir", "verbose"),
        notes=INSTALL_COMPLETION,
    ),
    Command(
        "man",
        "print the manual page, which is of all commands",
        "provisioner man",
        "man",
        common=("verbose",),
        notes="to read it:\n  provisioner man | man -l -",
    ),
)

GROUPS = {"lab": "throwaway hosts on this machine, to try things on"}

EXIT_CODES = {
    0: "done",
    1: "failed on at least one host",
    2: "bad usage or input; no host was touched",
    3: "a host was unreachable, and nothing worse happened",
    4: "the audit rejected a run, and nothing worse happened",
    5: "the plan found drift",
    130: "interrupted",
    141: "whoever read the output stopped before its end",
}

TABLE = Table(
    description="Turns bare GPU machines into hosts that can be benchmarked, and brings timings back.",
    commands=COMMANDS,
    groups=GROUPS,
    common=COMMON,
    example="provisioner run --profile registries",
    exit_codes=EXIT_CODES,
)


parse = functools.partial(command_line.parse, table=TABLE)
"""Turns a command line into options; raises ProvisionerError (code 2), or SystemExit for --help."""


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says and return the exit code."""
    try:
        options = parse(arguments)
    except SystemExit as leave:  # --help and --version have printed what they had to
        return cast(int, leave.code or 0)
    command = importlib.import_module(f"provisioner.commands.{options.module}")
    return cast(int, command.main(options))
