"""Make Scenario A's devcontainer.json from a base one: every shortcut out, the rest kept.

    devcontainer_json.py BASE --check
    devcontainer_json.py BASE --output FILE [--gpus] [--env NAME=VALUE]...
                              [--mount SOURCE:TARGET[:ro]]...

What is kept, taken out or refused is data, which the audit reads as well: devcontainer_keys.json. What is taken out is
said on stdout, a line each. Standard library only: it runs on the benchmarked host, beside scenario_a.sh.
Exit code 2 with one line on stderr where BASE cannot be used.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

DOCKERFILE = "Dockerfile.scenario-{}"  # relative to devcontainer.json, as the specification has it
POST_CREATE = ".devcontainer/post-create-scenario-{}.sh"  # relative to the workspace
USER = "vscode"

KEYS = json.loads(Path(__file__).with_name("devcontainer_keys.json").read_text(encoding="utf-8"))

_STRING = r'("(?:\\.|[^"\\\n])*")'
_COMMENT = re.compile(_STRING + r"|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(_STRING + r"|,(?=\s*[}\]])")


class BaseError(ValueError):
    """The base file cannot be used; the message says why, in one line."""


def parse(text: str) -> dict:
    """Read JSON with comments and trailing commas, as devcontainer.json may have them (jsonc).

    Raises BaseError where it is not that, or not an object.
    """

    def keep_strings(match: re.Match) -> str:
        return match[1] or " "

    try:
        config = json.loads(_TRAILING_COMMA.sub(keep_strings, _COMMENT.sub(keep_strings, text.removeprefix("\ufeff"))))
        json.dumps(config, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise BaseError(f"not JSON (comments and trailing commas allowed): {error}") from None
    if not isinstance(config, dict):
        raise BaseError("not a JSON object")
    if "dockerComposeFile" in config:
        raise BaseError("it uses dockerComposeFile; Scenario A needs a configuration of one Dockerfile or image")
    return config


def transform(
    config: dict, *, gpus: bool, env: dict[str, str], mounts: list[str], scenario: str = "a"
) -> tuple[dict, list[str]]:
    """Return a scenario's configuration, and what was taken out of `config` with the reason, a line each.

    gpus: whether the host has a GPU. env: variables of the scenario's own. mounts: entries of "mounts".
    Raises BaseError where Scenario A can neither keep nor take out what `config` has.
    """
    out: list[str] = []
    kept = _known(config, "keys", "", out)
    build = _known(kept.pop("build", {}), "build", "build.", out)
    options = _options(build.get("options", []), "build.options", out)
    if "hostRequirements" in kept:
        kept["hostRequirements"] = _known(kept["hostRequirements"], "hostRequirements", "hostRequirements.", out)
    own = {
        "build": {"dockerfile": DOCKERFILE.format(scenario)} | ({"options": options} if options else {}),
        "runArgs": (["--gpus", "all"] if gpus else []) + _options(kept.get("runArgs", []), "runArgs", out),
        # As the Dev Container CLI has it; what has neither is the developer's.
        "remoteUser": kept.get("remoteUser", kept.get("containerUser", USER)),
        "postCreateCommand": POST_CREATE.format(scenario),
        "mounts": mounts,
        "containerEnv": _variables(kept.get("containerEnv", {}), out) | env,
    }
    result = {key: value for key, value in (kept | own).items() if value not in ([], {}) or key in kept}
    found = re.search(KEYS["builder_images"], json.dumps(result))
    if found:
        raise BaseError(f"it has the name of a builder's image, {found[0]}; leave that out")
    return result, out


def _is_port(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


# What a part may be, in words and as a test.
TYPES = {
    "any": ("anything", lambda _: True),
    "text": ("a text", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "number": ("a number", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)),
    "object": ("an object", lambda value: isinstance(value, dict)),
    "list": ("a list", lambda value: isinstance(value, list)),
    "texts": ("a list of texts", lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value)),
    "text or list": ("a text or a list", lambda value: isinstance(value, (str, list))),
    "command": ("a text, a list or an object", lambda value: isinstance(value, (str, list, dict))),
    "ports": ("a list of ports", lambda value: isinstance(value, list) and all(_is_port(one) for one in value)),
    "port or ports": ("a port or a list", lambda value: isinstance(value, list) or _is_port(value)),
}


def _known(given: dict, table: str, where: str, out: list[str]) -> dict:
    """Return what is kept of an object, by that table of KEYS; null is as good as nothing, as it is to the CLI."""
    kept = {}
    for key, value in given.items():
        rule = KEYS[table].get(key)
        if value is None:
            continue
        if rule is None:
            out.append(f"{where}{_shown(key)}: Scenario A does not know it")
            continue
        _check_type(f"{where}{key}", value, rule)
        if "out" in rule:
            out.append(f"{where}{key}: {rule['out']}")
        elif "values_of" in rule:
            option = rule["values_of"]
            kept[key] = [one for one in dict.fromkeys(value) if _is_kept(option, one, "runArgs", f"{where}{key}", out)]
        else:
            kept[key] = value
    return kept


def _check_type(name: str, value: object, rule: dict) -> None:
    """Raise BaseError where the value is not of the type that its rule gives."""
    hint = f" ({rule['hint']})" if "hint" in rule else ""
    if isinstance(rule["type"], list):
        if value not in rule["type"]:
            raise BaseError(f'"{name}" is {_shown(value)}; give {" or ".join(rule["type"])}, or leave it out{hint}')
    elif not TYPES[rule["type"]][1](value):
        raise BaseError(f'"{name}" is not {TYPES[rule["type"]][0]}; mend it, or leave it out{hint}')


def _variables(given: dict, out: list[str]) -> dict[str, str]:
    """Return the variables of containerEnv that are kept: those that change nothing of what is compiled."""
    variables, kept = KEYS["variables"], {}
    for name, value in given.items():
        if value is None:
            continue
        if name in variables["own"]:
            out.append(f"containerEnv.{name}: Scenario A sets it by its own settings")
        elif name not in variables["kept"] + variables["proxies"]:
            out.append(f"containerEnv.{_shown(name)}: variables may change what is compiled")
        else:
            _check_type(f"containerEnv.{name}", value, {"type": "text"})
            kept[name] = value
    return kept


def _options(arguments: list[str], where: str, out: list[str]) -> list[str]:
    """Return the options of docker that are kept, each as one argument: --NAME or --NAME=VALUE."""
    kept = []
    for name, value in _parsed(arguments, where):
        if name == "network":  # of others the last counts, but a container may be in several networks
            kept = [one for one in kept if not one.startswith("--network=")]
        reasons = [
            reason
            for reason, names in KEYS["options"][where]["out"].items()
            if name in names.get("values", []) + names.get("flags", [])
        ]
        if reasons:
            out.append(f"{where} --{name}: {reasons[0]}")
        elif name in KEYS["options"][where]["kept"]["flags"]:
            kept += [] if value == "false" else [f"--{name}"]
        elif _is_kept(name, value, where, f"{where} --{name}", out):
            kept.append(f"--{name}={value}")
    return list(dict.fromkeys(kept))


def _is_kept(option: str, value: str, where: str, name: str, out: list[str]) -> bool:
    """Whether the value of that option is one of those that are kept on every host; else it is said."""
    pattern = KEYS["options"][where]["kept"]["values"][option]
    if re.fullmatch(pattern, value):
        return True
    out.append(f"{name}: not every host has or allows that value")
    return False


def _parsed(arguments: list[str], where: str):
    """Yield each option with its value, or None for a flag, as docker reads them.

    Raises BaseError where that cannot be told.
    """
    options = KEYS["options"][where]
    groups = [options["kept"], *options["out"].values()]
    with_value = {name for group in groups for name in group.get("values", [])}
    flags = {name for group in groups for name in group.get("flags", [])}
    rest = iter(arguments)
    for argument in rest:
        before, name, value = _split(argument, options["aliases"], flags)
        yield from ((flag, None) for flag in before)
        name = options["aliases"].get(name, name)
        if name not in with_value | flags:
            shown = _shown(argument.partition("=")[0])
            raise BaseError(f'"{where}" has {shown}, which is no option that is known here; leave it out')
        if name in with_value and value is None:
            value = next(rest, None)
            if value is None:
                raise BaseError(f'"{where}" has --{name} without its value; give it, or leave the option out')
        yield name, value


def _split(argument: str, aliases: dict, flags: set) -> tuple[list[str], str, str | None]:
    """Return the flags that an argument begins with, the name of its option, and the value, None without one."""
    if argument.startswith("--"):
        name, equals, value = argument[2:].partition("=")
        return [], name, value if equals else None
    # -it, -v/a:/b, -e=A=1: flags, of which the last may be an option with its value.
    before = []
    letters = argument[1:] if argument.startswith("-") else ""
    name, letters = letters[:1], letters[1:]
    while aliases.get(name) in flags and letters and not letters.startswith("="):
        before.append(aliases[name])
        name, letters = letters[0], letters[1:]
    return before, name, letters[1:] if letters.startswith("=") else letters or None


def read(path: Path) -> dict:
    """Return what a devcontainer.json has. Raise BaseError where it cannot be read, or is none."""
    return parse(_text(path))


def _text(path: Path) -> str:
    """Return what is in a file. Raise BaseError where it is no regular file of text: a pipe would be waited for."""
    try:
        if path.exists() and not path.is_file():
            raise BaseError("not a regular file; give one")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BaseError("not UTF-8; save it as that") from None
    except OSError as error:
        raise BaseError(f"{error.strerror}; give a file that can be read") from None


def _shown(value: object) -> str:
    """Return what others wrote as one short line."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _mount(text: str) -> str:
    """SOURCE:TARGET[:ro] as an entry of "mounts", in Docker's own words: the object form cannot say read-only."""
    match = re.fullmatch(r"(/[^:,]*):(/[^:,]*)(:ro)?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"not SOURCE:TARGET[:ro] of absolute paths: {text}")
    return f"type=bind,source={match[1]},target={match[2]}" + (",readonly" if match[3] else "")


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"not NAME=VALUE: {text}")
    return name, value


def main(arguments: list[str] | None = None) -> int:
    """Run the command line above; return the exit code."""
    parser = argparse.ArgumentParser(description="Make Scenario A's devcontainer.json from a base one.")
    parser.add_argument("base", type=Path)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="only say whether BASE can be used")
    action.add_argument("--output", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument("--scenario", default="a", help="its letter, after which its files are called")
    parser.add_argument("--gpus", action="store_true", help="the host has a GPU: run with --gpus all")
    parser.add_argument("--env", type=_variable, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--mount", type=_mount, action="append", default=[], metavar="SOURCE:TARGET[:ro]")
    options = parser.parse_args(arguments)
    try:
        result, out = transform(
            read(options.base),
            gpus=options.gpus,
            env=dict(options.env),
            mounts=options.mount,
            scenario=options.scenario,
        )
    except BaseError as error:
        print(f"{options.base}: {error}", file=sys.stderr)
        return 2
    if options.output:
        print(*(f"devcontainer.json, taken out: {line}" for line in out), sep="\n", end="\n" if out else "")
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
