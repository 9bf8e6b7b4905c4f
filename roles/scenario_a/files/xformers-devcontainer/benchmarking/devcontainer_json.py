#!/usr/bin/env python3
"""Make Scenario A's devcontainer.json from a base one: every shortcut out, the rest kept.

    devcontainer_json.py BASE --check
    devcontainer_json.py BASE --output FILE [--gpus] [--env NAME=VALUE]...
                              [--mount SOURCE:TARGET[:ro]]...

Standard library only: it runs on the benchmarked host, beside scenario_a.sh.
Exit code 2 with one line on stderr where BASE cannot be used.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

DOCKERFILE = "Dockerfile.scenario-a"  # relative to devcontainer.json, as the specification has it
POST_CREATE = ".devcontainer/post-create-scenario-a.sh"  # relative to the workspace

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
    except (json.JSONDecodeError, RecursionError) as error:
        raise BaseError(f"not JSON (comments and trailing commas allowed): {error}") from None
    if not isinstance(config, dict):
        raise BaseError("not a JSON object")
    if "dockerComposeFile" in config:
        raise BaseError("it uses dockerComposeFile; Scenario A needs a configuration of one Dockerfile or image")
    for key, kind in {"build": dict, "runArgs": list, "mounts": list, "containerEnv": dict}.items():
        if not isinstance(config.get(key, kind()), kind):
            raise BaseError(f'"{key}" is not {"an object" if kind is dict else "a list"}')
    return config


def transform(config: dict, *, gpus: bool, env: dict[str, str], mounts: list[str]) -> dict:
    """Return Scenario A's configuration; `config` is not changed.

    gpus: whether the host has a GPU. env: containerEnv to add. mounts: further entries of "mounts".
    """
    # An image, a Dockerfile of the site's own (by its old names too) and every cache hint: all shortcuts.
    kept = {key: value for key, value in config.items() if key not in {"image", "cacheFrom", "dockerFile", "context"}}
    build = dict(config.get("build", {}))
    for key in ("cacheFrom", "target", "context"):
        build.pop(key, None)
    if "options" in build:
        build["options"] = _without(build["options"], "--cache-from")
    build["dockerfile"] = DOCKERFILE
    result = kept | {"build": build, "postCreateCommand": POST_CREATE}
    result["runArgs"] = (["--gpus", "all"] if gpus else []) + _without(config.get("runArgs", []), "--gpus")
    result["mounts"] = [*config.get("mounts", []), *mounts]
    result["containerEnv"] = config.get("containerEnv", {}) | env
    return {key: value for key, value in result.items() if value or key in kept}


def _without(arguments: list[str], option: str) -> list[str]:
    """Return the arguments less each `OPTION VALUE` and `OPTION=VALUE`."""
    result, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == option:
            skip = True
        elif not str(argument).startswith(f"{option}="):
            result.append(argument)
    return result


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
    parser.add_argument("--gpus", action="store_true", help="the host has a GPU: run with --gpus all")
    parser.add_argument("--env", type=_variable, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--mount", type=_mount, action="append", default=[], metavar="SOURCE:TARGET[:ro]")
    options = parser.parse_args(arguments)
    try:
        config = parse(options.base.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, BaseError) as error:
        print(f"{options.base}: {error}", file=sys.stderr)
        return 2
    if options.output:
        result = transform(config, gpus=options.gpus, env=dict(options.env), mounts=options.mount)
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
