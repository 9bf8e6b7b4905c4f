#!/usr/bin/python3.11
"""The Python of a host that was taken over: it answers what /root/answers.json says, and notes what it was sent.

That file has, by what is asked for (look, the name of a module, or the state that scenario_run is asked for), a list:
["json", VALUE], ["raw", TEXT], ["megabytes", N] or ["sleep", SECONDS]. To what it has no answer for, the real Python
answers.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

PYTHON = "/usr/bin/python3.11"
MODULES = ("scenario_run", "file_tree", "apt_lock", "mending")
STATE = re.compile(rb"state[^a-z]{1,12}(planned|started|finished|listed|packed|collected)\b")


def asked(sent):
    """What is asked for, the most exact name last."""
    if "-ISc" in sys.argv:  # what is asked is no part of what is compressed
        return ["host_checks"] if b"doctor.checks" in sent else ["look"]
    names = [name for name in MODULES if name.encode() in sent]
    state = STATE.search(sent)
    return [*names, *([state[1].decode()] if state and "scenario_run" in names else [])]


def main():
    """Answer."""
    sent = sys.stdin.buffer.read()
    with Path("/root/sent").open("ab") as file:
        file.write(sent)
    answers = json.loads(Path("/root/answers.json").read_text())
    kind, value = next((answers[name] for name in reversed(asked(sent)) if name in answers), (None, None))
    if kind is None:
        os._exit(subprocess.run([PYTHON, *sys.argv[1:]], input=sent, check=False).returncode)
    elif kind == "json":
        print(json.dumps(value))
    elif kind == "raw":
        print(value)
    elif kind == "sleep":
        time.sleep(value)
    elif kind == "megabytes":
        print('{"looks": "', end="")
        for _ in range(value):
            sys.stdout.write("x" * 10**6)
        print('"}')


main()
