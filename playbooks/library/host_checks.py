#!/usr/bin/python
"""What `ansible-doc host_checks` and the linters read; the action plugin of this name is what runs."""

DOCUMENTATION = r"""
module: host_checks
short_description: What a host lacks for Scenario A
description:
  - Runs as whoever logs in, and asks sudo only where a question needs it. Changes nothing.
  - What is asked is in C(module_utils/provisioner_doctor). It goes to the host in one round trip, as of module C(look).
options:
  wanted:
    description: >-
      The name of the variable that has what is asked: C(profile), C(xformers_url), C(base_image), C(cold_base),
      C(pip_calls), C(node_source), C(daemon_json), C(ca_pem), C(variables), C(runtime), C(native_checks), C(python),
      C(arch_list), C(gpu_driver), C(repositories) and C(minimum_free_bytes), each as C(group_vars/all.yml) has it.
    type: str
    required: true
  roles:
    description: >-
      Names of roles, or the name of a variable that has the list of them. It is told as well why C(prepare) would
      refuse the host, and what these roles have to tell, where we can be root there.
    type: raw
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
  host_checks:
    wanted: host_checks_wanted
  register: checked
"""

RETURN = r"""
host_findings:
  description: One for each check - its name, its outcome (ok, warn or fail), what was seen, and how to mend it.
  type: list
  elements: dict
  returned: without C(sources_only)
"""
