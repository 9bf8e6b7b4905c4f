#!/usr/bin/python
"""Ansible module: begin and end to mend a host, one controller at a time, and log what was changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: mending
short_description: Begin and end to mend a host
author: The provisioner authors (!UNKNOWN)
description:
  - C(begun) takes the host's lock, which one C(prepare) at a time holds; C(ended) gives it back and logs what was
    changed. In check mode neither is done. See C(module_utils/mending.py).
  - The action of this name adds who the controller is, and finds out whether one on the same machine is still there.
options:
  state: {description: What to do., type: str, choices: [begun, ended], required: true}
  job: {description: "What the lock is known by, of 16 letters and digits.", type: str, required: true}
  controller: {description: "Who begins, as is found again by the action.", type: dict, default: {}}
  gone: {description: The job of a lock whose controller is not there any more., type: str, default: ""}
  before:
    description: What was off before anything was mended, each change with its role; the action takes a look's answers.
    type: list
    elements: dict
    default: []
  after: {description: The same afterwards; without it nobody knows what was done., type: list, elements: dict}
  log: {description: "The log, one line a change; empty for none.", type: path, required: true}
"""

EXAMPLES = r"""
- name: Take the host's lock
  provisioner.gpu_hosts.mending:
    state: begun
    before: "{{ looked.looks }}"
    log: /var/log/provisioner/changes.log
  register: mending
  until: mending.waiting_for | default('') | length == 0
"""

RETURN = r"""
job: {description: What the lock is known by., type: str, returned: always}
waiting_for: {description: Who has the lock; empty where it was taken., type: str, returned: with C(begun)}
holder: {description: What that controller said of itself., type: dict, returned: where another has it}
msg: {description: What a person is told who waited in vain., type: str, returned: where another has it}
stale: {description: Whether a look from before may be old., type: bool, returned: with C(begun)}
provisioner_notes: {description: What a person should read., type: list, elements: str, returned: with C(ended)}
"""

import inspect
import os
import signal
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import mending
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import obstacle, trouble
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.write import write

PROGRAM = Path("/run/provisioner-prepare.py")
# A lock that was given back within these seconds may have been held when the host was looked at.
A_MOMENT = 120


def begin(module: AnsibleModule) -> dict:
    """Take the lock, or say who has it."""
    given = module.params
    controller, job = given["controller"], given["job"]
    who = f"{controller.get('user', 'somebody')}@{controller.get('name', 'unknown')}"
    about = {"controller": who, "since": time.strftime("%H:%M:%SZ", time.gmtime()), "identity": controller}
    about |= {"wanted": given["before"], "log": given["log"] or ""}
    if given["gone"]:
        mending.tell(mending.LOCK, given["gone"], signal.SIGHUP)
    stale = mending.LOCK.exists() and time.time() - mending.LOCK.stat().st_mtime < A_MOMENT
    # As a whole: another controller may be starting it just now.
    write(PROGRAM, inspect.getsource(mending).encode())
    mending.__file__ = str(PROGRAM)  # where it is now, it is packed
    found = mending.take(mending.LOCK, job, about)
    if found["job"] == job:
        return {"waiting_for": "", "stale": stale}
    left = mending.at_work(found["job"]) if given["gone"] else ""
    waiting_for = f"the prepare of {found['controller']}, begun at {found['since']}"
    waiting_for += f", which was broken off; {left} still works" if left else ""
    msg = f"still waiting for {waiting_for}; see that it ends, and run this again"
    return {"waiting_for": waiting_for, "holder": found, "msg": msg, "stale": True}


def end(module: AnsibleModule) -> dict:
    """Log what was changed, and give the lock back."""
    given = module.params
    about = mending.held(mending.LOCK)
    if about.get("job") != given["job"]:
        return {"provisioner_notes": ["the host's lock was lost while it was mended; run prepare again"]}
    notes = []
    try:
        if given["after"] is None:
            mending.append(given["log"] or "", about["controller"], about["wanted"], mending.BROKEN_OFF)
        else:
            mending.append(given["log"] or "", about["controller"], mending.made(given["before"], given["after"]))
    except OSError as error:
        notes = [f"what was changed is not in the log {given['log']}: {error.strerror}"]
    mending.tell(mending.LOCK, given["job"], signal.SIGTERM)
    return {"provisioner_notes": notes}


def main() -> None:
    """Begin or end."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["begun", "ended"], "required": True},
            "job": {"type": "str", "required": True, "no_log": False},
            "controller": {"type": "dict", "default": {}},
            "gone": {"type": "str", "default": ""},
            "before": {"type": "list", "elements": "dict", "default": []},
            "after": {"type": "list", "elements": "dict"},
            "log": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    job = module.params["job"]
    if module.check_mode:
        module.exit_json(changed=False, job=job, waiting_for="", stale=False)
    os.umask(0o022)
    why = obstacle(mending.LOCK, "file") or obstacle(PROGRAM, "file")
    if why:
        module.fail_json(msg=f"the host's lock: {why}")
    try:
        answer = {"begun": begin, "ended": end}[module.params["state"]](module)
    except OSError as error:
        module.fail_json(msg=f"the host's lock: {trouble(error.filename or mending.LOCK, error)}")
    module.exit_json(changed=False, job=job, **answer)


if __name__ == "__main__":
    main()
