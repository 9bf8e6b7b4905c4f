#!/usr/bin/python
"""Ansible module: packages of a Debian or Ubuntu host that must be there."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: apt_packages
short_description: Packages that must be installed
description:
  - Installs what is missing, without recommended packages, after refreshing the lists; upgrades nothing.
  - Unlike M(ansible.builtin.apt) it works in check mode on a host without python3-apt, and costs one dpkg-query
    where nothing is missing.
options:
  names:
    description: The packages' names.
    type: list
    elements: str
    required: true
  lock_timeout:
    description: How long to wait, in seconds, while another program (a first boot's upgrade, say) holds apt's lock.
    type: int
    default: 600
"""

RETURN = r"""
installed:
  description: The packages that were missing.
  type: list
  returned: always
"""

QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C"}


def missing(module: AnsibleModule, names: list[str]) -> list[str]:
    """Those of `names` that dpkg does not have completely installed, in their order."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names]
    _, out, _ = module.run_command(query)  # exits 1 when it knows nothing of one of them
    there = {line.split()[0] for line in out.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in there]


def first_error(*outputs: str) -> str:
    """Apt's first line of complaint in `outputs`, or a last resort."""
    lines = [line for output in outputs for line in output.splitlines()]
    return next((line for line in lines if line.startswith("E:")), lines[-1] if lines else "no message")


def main() -> None:
    """Install what is missing and say what that was."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "lock_timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    names = missing(module, module.params["names"])
    diff = {"before": "", "after": "".join(f"{name}\n" for name in names)}
    if names and not module.check_mode:
        apt = ["apt-get", "--quiet", "-o", f"DPkg::Lock::Timeout={module.params['lock_timeout']}"]
        _, _, stale = module.run_command([*apt, "update"], environ_update=QUIET)
        install = [*apt, "install", "--yes", "--no-install-recommends", *names]
        code, _, errors = module.run_command(install, environ_update=QUIET)
        if code:
            module.fail_json(
                msg=f"apt-get cannot install {' '.join(names)}: {first_error(errors, stale)}; "
                "mend the host's apt sources or its network and run this again"
            )
    module.exit_json(changed=bool(names), installed=names, diff=diff)


if __name__ == "__main__":
    main()
