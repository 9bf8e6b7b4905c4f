"""The command line, declared as data: each command with its options, an example and the module that does it.

Nothing here imports what a command needs, so `provisioner --help` stays quick.
"""

import argparse
import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, cast

from provisioner import __version__
from provisioner.errors import Exit, ProvisionerError

__all__ = ["COMMANDS", "COMMON", "Command", "Option", "parse", "run"]


class Option(NamedTuple):
    """One option or argument: the words it is given by, and what argparse is told of it."""

    flags: tuple[str, ...]
    settings: dict[str, Any]


class Command(NamedTuple):
    """One command: `name` may be two words; `module` of provisioner.commands has `main(options) -> int`."""

    name: str
    summary: str
    example: str
    module: str
    options: tuple[Option, ...] = ()


def option(*flags: str, **settings: Any) -> Option:
    """Give an Option; written as a call so that the tables below read like argparse."""
    return Option(flags, settings)


def between(least: int, most: int) -> Callable[[str], int]:
    """Give what reads a whole number of a command line: argparse's `type`."""

    def number(text: str) -> int:
        # No number that is meant is longer, and Python does not read one of any length.
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not least <= int(text) <= most:
            shown = repr(text if len(text) <= 80 else f"{text[:77]}...")
            raise argparse.ArgumentTypeError(f"{shown} is not a whole number from {least} to {most}")
        return int(text)

    return number


MANY = 10**9
"""More than there is of anything that an option counts."""

COMMON = (
    option(
        "-i",
        "--inventory",
        metavar="PATH",
        action="append",
        help="an Ansible inventory, or hosts with commas (default: this machine); may be given again",
    ),
    option(
        "-l",
        "--limit",
        metavar="PATTERN",
        help="only these hosts of the inventory; @failed: those that failed last time",
    ),
    option("--profile", metavar="NAME", help="where things come from: seed (default), registries or offline"),
    option("--runtime", metavar="NAME", help="what a run happens in: devcontainer or native (default: the profile's)"),
    option(
        "-e",
        "--extra-vars",
        metavar="KEY=VALUE|JSON|@FILE",
        action="append",
        help="set an Ansible variable, those of a JSON or YAML object, or those in a file; may be given again",
    ),
    option("--forks", metavar="N", type=between(1, 1000), default=12, help="hosts at a time (default: 12)"),
    option("--state-dir", metavar="DIR", help="where runs and evidence are kept on this machine"),
    option("--json", action="store_true", help="the result as JSON on stdout, and nothing else there"),
    option("-v", "--verbose", action="count", default=0, help="show Ansible's own output; -vv shows more"),
)

LISTS = ("inventory", "extra_vars")
"""Those that may be given again."""

MIN_RULES = option(
    "--min-rules", metavar="N", type=between(0, MANY), help="only runs that rules N of the audit or later judged"
)

WHICH_RUNS = (
    option("--host", metavar="PATTERN", action="append", help="only runs on these hosts; with -i, a group of it too"),
    option("--since", metavar="TIME", help="only runs since then: 12h, 7d, or a date such as 2026-11-23 (UTC)"),
    option("--last", metavar="N", type=between(1, MANY), help="only the newest N of them"),
    MIN_RULES,
)

REQUIRE_IDLE = option(
    "--require-idle", action="store_true", help="refuse a host with others' jobs, containers or GPU programs on it"
)

LAB_NAME = option("--name", metavar="NAME", default="lab", help="which lab (default: lab)")

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
                "--like", metavar="RUN|FILE", help="repeat this run, of the store or that somebody sent, as it was told"
            ),
            option("--require-gpu", action="store_true", help="a host without a GPU is a failure"),
            option("--fresh", action="store_true", help="measure anew where a finished run is there already"),
            option("--repeat", metavar="N", type=between(1, 1000), default=1, help="measure N times, each time anew"),
            option("--cold-base", action="store_true", help="remove the base image first, so its pull is timed"),
            REQUIRE_IDLE,
        ),
    ),
    Command(
        "prepare",
        "make each host ready for a run: Docker, the Dev Container CLI and what the profile asks for",
        "provisioner prepare -i fleet.yml -l 'rack1*'",
        "prepare",
        (REQUIRE_IDLE,),
    ),
    Command(
        "plan",
        "say what prepare and run would change on each host; change nothing; exit 5 on drift",
        "provisioner plan -i fleet.yml --json",
        "plan",
    ),
    Command(
        "status",
        "ask the hosts for runs in flight and runs that nobody has collected; list those kept here",
        "provisioner status -i fleet.yml",
        "status",
        (option("--offline", action="store_true", help="ask no host: where each run was last seen from here"),),
    ),
    Command(
        "facts",
        "print the records of finished runs",
        "provisioner facts -o csv -q 'runs[].{host: host, compile: timings.compile}'",
        "facts",
        (
            *WHICH_RUNS,
            option("-q", "--query", metavar="JMESPATH", help="print only what this JMESPath expression selects"),
            option(
                "-o",
                "--output",
                choices=("table", "json", "yaml", "csv"),
                help="how to print it (default: table)",
            ),
            option("--trace", metavar="FILE", help="write phases and objects as a Chrome trace, for Perfetto"),
        ),
    ),
    Command(
        "report",
        "show finished runs as a page to look at, or as files for a pull request, CI or monitoring",
        "provisioner report --html report.html --since 30d",
        "report",
        (
            option("--html", metavar="FILE", help="one HTML page, which opens offline"),
            option("--markdown", metavar="FILE", help="Markdown; without any of these it is printed"),
            option("--junit", metavar="FILE", help="JUnit XML: a test case for each check of each run's audit"),
            option("--openmetrics", metavar="FILE", help="the newest run of each host, for a textfile collector"),
            *WHICH_RUNS,
        ),
    ),
    Command(
        "audit",
        "judge a run's evidence again, check by check",
        "provisioner audit 20261123T090807Z",
        "audit",
        (
            option(
                "run", metavar="RUN|DIR|FILE", help="the run_id, or as much of its beginning as is unique; or evidence"
            ),
        ),
    ),
    Command(
        "compare",
        "compare two sets of runs, phase by phase; exit 1 where --fail-if-slower says so",
        "provisioner compare gpu-01@14d..7d gpu-01@7d.. --fail-if-slower 10%",
        "compare",
        (
            option("a", metavar="A", help="a run, host, group (-i), SINCE..UNTIL, HOST@SINCE..UNTIL, baseline or file"),
            option("b", metavar="B", nargs="?", help="the same, to be set against A; may be left out to save A"),
            option("--save-baseline", metavar="NAME", help="keep A's runs under this name"),
            option("--fail-if-slower", metavar="SHARE", help="exit 1 where B is slower than A by more, such as 10%%"),
            MIN_RULES,
            option("--phase", metavar="NAME", default="total", help="what --fail-if-slower looks at (default: total)"),
            option("--unverified", action="store_true", help="compare runs that came without evidence, too"),
            option(
                "--allow-different",
                action="store_true",
                help="compare although inputs differ, and rejected runs too",
            ),
        ),
    ),
    Command(
        "export",
        "write the records of finished runs as JSON lines; `import` and `compare` read them",
        "provisioner export --since 7d --evidence runs.tar",
        "export",
        (
            *WHICH_RUNS,
            option("--evidence", action="store_true", help="write a tar of evidence and signatures, to be judged anew"),
            option("file", metavar="FILE", help="where to; - is stdout"),
        ),
    ),
    Command(
        "import",
        "make records of logs of the original shell benchmark, or take in what `export` wrote",
        "provisioner import benchmarks/20250812_084413_scenario_a.log --host den",
        "import_files",
        (
            option("file", metavar="FILE", nargs="+", help="a log of scenario_runner.sh, or what `export` wrote"),
            option("--host", metavar="NAME", default="upstream", help="a log's host, which it does not name"),
        ),
    ),
    Command(
        "delete",
        "forget runs: remove their records and evidence from this machine",
        "provisioner delete 20261123T090807Z-a1b2c3 --yes",
        "delete",
        (
            option("run", metavar="RUN", nargs="+", help="a run_id, or as much of its beginning as is unique"),
            option("--yes", action="store_true", help="do not ask"),
        ),
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
            option("--host", metavar="PATTERN", action="append", help="only runs on these hosts"),
            option("--yes", action="store_true", help="do it"),
        ),
    ),
    Command(
        "bundle",
        "make one archive of all that hosts without a network need, for the profile offline",
        "provisioner bundle --python 3.12 --runtime devcontainer -o bundle.tar",
        "bundle",
        (
            option("-o", "--output", metavar="FILE", help="where to (default: where the profile looks for it)"),
            option("--python", metavar="X.Y", help="the hosts' Python (default: this machine's)"),
            option(
                "--platform",
                metavar="TAG",
                default="manylinux_2_28_x86_64",
                help="the hosts' platform, as wheels name it (default: manylinux_2_28_x86_64)",
            ),
        ),
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
                metavar="DRESS",
                dest="dresses",
                nargs="+",
                action="extend",
                default=[],
                help="a host for each of these, made to be as a site's was in a report; see `provisioner lab dresses`",
            ),
            option("--debian", type=int, choices=(12, 13), help="which Debian (default: 12, or what the dress fits)"),
            option("--user", metavar="NAME", default="root", help="log in as this user (default: root)"),
            option(
                "--stand-ins",
                action="store_true",
                help="one host more, which serves the others what Docker Hub, GitHub, PyTorch, NVIDIA and more would",
            ),
            LAB_NAME,
        ),
    ),
    Command(
        "lab dresses",
        "list what a lab host can be dressed as: sites' hosts, as reports describe them",
        "provisioner lab dresses",
        "lab_dresses",
    ),
    Command("lab status", "list the labs on this machine", "provisioner lab status", "lab_status"),
    Command(
        "lab down",
        "remove a lab and all that belongs to it",
        "provisioner lab down --name lab",
        "lab_down",
        (
            LAB_NAME,
            option("--images", action="store_true", help="remove the images that made it quick as well"),
        ),
    ),
)

GROUPS = {"lab": "throwaway hosts on this machine, to try things on"}

EXIT_CODES = """\
exit codes:
  0    done
  1    failed on at least one host
  2    bad usage or input; no host was touched
  3    a host was unreachable, and nothing worse happened
  4    the audit rejected a run, and nothing worse happened
  5    the plan found drift
  130  interrupted
  141  whoever read the output stopped before its end
"""


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one line with its remedy, and examples keep their line breaks."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # an abbreviation in a script would break with the next option we add
            **settings,
        )

    def error(self, message: str) -> NoReturn:
        raise ProvisionerError(message, f"see `{self.prog} --help`", Exit.BAD_INPUT)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Turn a command line into options; raises ProvisionerError (code 2), or SystemExit for --help."""
    for argument in arguments:
        if not argument.isascii() and re.search("[\ud800-\udfff]", argument):  # bytes that are no text
            raise ProvisionerError(
                f"{argument[:80]} is not UTF-8", "give it in that encoding; see `provisioner --help`", Exit.BAD_INPUT
            )
        if re.fullmatch(r"(--[^=]+=|-\w=?)--", argument):  # argparse takes it for the end of the options, and gives []
            raise ProvisionerError(
                f"{argument[:80]}: -- is no value", "give one; see `provisioner --help`", Exit.BAD_INPUT
            )
    options = _parser().parse_args(arguments)
    for name in LISTS:
        early, late = getattr(options, f"early_{name}"), getattr(options, name, None)
        setattr(options, name, [*(early or []), *(late or [])])
    return options


def run(arguments: Sequence[str]) -> int:
    """Do what the command line says and give the exit code."""
    try:
        options = parse(arguments)
    except SystemExit as leave:  # --help and --version have printed what they had to
        return cast(int, leave.code or 0)
    command = importlib.import_module(f"provisioner.commands.{options.module}")
    return cast(int, command.main(options))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="provisioner",
        description="Turns bare GPU machines into hosts that can be benchmarked, and brings timings back.",
        epilog=f"example:\n  provisioner run --profile registries\n\n{EXIT_CODES}",
    )
    parser.add_argument("--version", action="version", version=f"provisioner {__version__}")
    for flags, settings in COMMON:
        # A list given before the command would be replaced by one given after it: keep the two apart.
        name = flags[-1].lstrip("-").replace("-", "_")
        early = {"dest": f"early_{name}"} if name in LISTS else {}
        parser.add_argument(*flags, **{**settings, **early})

    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    groups: dict[str, Any] = {}
    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        if group and group not in groups:
            inner = commands.add_parser(group, help=GROUPS[group], description=GROUPS[group])
            groups[group] = inner.add_subparsers(metavar="COMMAND", required=True, title="commands")
        _add(groups[group] if group else commands, name, command)
    return parser


def _add(parent: Any, name: str, command: Command) -> None:
    parser = parent.add_parser(
        name,
        help=command.summary,
        description=command.summary[0].upper() + command.summary[1:] + ".",
        epilog=f"example:\n  {command.example}",
    )
    parser.set_defaults(module=command.module, command=command.name)
    for flags, settings in command.options:
        parser.add_argument(*flags, **settings)
    common = parser.add_argument_group("common options")
    for flags, settings in COMMON:
        # Without a default here, what was given before the command stays.
        common.add_argument(*flags, **{**settings, "default": argparse.SUPPRESS})
