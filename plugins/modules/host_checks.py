#!/usr/bin/python
"""What a host lacks for Scenario A; the action of this name asks the same questions more quickly."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_checks
short_description: What a host lacks for Scenario A
author: The provisioner authors (!UNKNOWN)
description:
  - Runs as whoever logs in, and asks sudo only where a question needs it. Changes nothing.
  - What is asked is in C(plugins/module_utils/doctor). The action plugin of this name sends it to the host's Python by
    itself, as of module M(provisioner.gpu_hosts.look). Where the connection takes no input, it runs this module.
options:
  wanted:
    description: >-
      The name of the variable that has what is asked, C(profile), C(xformers_url), C(base_image), C(cold_base),
      C(pip_calls), C(node_source), C(daemon_json), C(ca_pem), C(variables), C(runtime), C(native_checks), C(python),
      C(arch_list), C(gpu_driver), C(repositories), C(distributions) and C(minimum_free_bytes), each as
      C(group_vars/all.yml) has it. The action plugin gives the module what is asked itself.
    type: raw
    required: true
  roles:
    description: >-
      Names of roles, or the name of a variable that has the list of them. It is told as well why C(prepare) would
      refuse the host, and what these roles have to tell, where we can be root there.
    type: raw
  roles_wanted:
    description: What each of O(roles) wants. The action plugin takes it from their variables.
    type: dict
  controller_clock:
    description: The controller's time. The action plugin of this name tells.
    type: float
  sources_only:
    description:
      - Only look at what `prepare` does not bring - the sources that it and a run take things from, whether GPUs,
        driver and the image's CUDA go together and, for native, compiler and torch - and fail where something of it is
        missing or wrong.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the host
  provisioner.gpu_hosts.host_checks:
    wanted: host_checks_asked
  register: checked
"""

RETURN = r"""
host_findings:
  description: One for each check - its name, its outcome (ok, warn or fail), what was seen, and how to mend it.
  type: list
  elements: dict
  returned: without O(sources_only)
"""

import json
import subprocess
import sys

from ansible.module_utils.basic import AnsibleModule

# Ansible sends them along.
# pylint: disable-next=unused-import
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import probes  # noqa: F401
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.doctor import checks

LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.look import answer
question = json.load(sys.stdin)
del question["program"]
print(json.dumps(answer(None, **question)))
"""


def again(*words, **question):
    """Return the answer to a look, of this Python as another user: `words` come before its command."""
    archive = checks.__file__.partition("/ansible_collections/")[0]
    command = [*words, sys.executable, "-c", LOOK, archive]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout)
    said = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
    return {"failed": True, "msg": f"the look failed: {said[-1]}"}


def main():
    """Ask, and exit with what was found."""
    module = AnsibleModule(
        argument_spec={
            "wanted": {"type": "raw", "required": True},
            "roles": {"type": "raw"},
            "roles_wanted": {"type": "dict"},
            "controller_clock": {"type": "float"},
            "sources_only": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    options = {name: given[name] for name in ("sources_only", "controller_clock")}
    answer = checks.answer(again, given["wanted"], given["roles_wanted"] or {}, **options)
    if answer.pop("failed", False):
        module.fail_json(**answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
