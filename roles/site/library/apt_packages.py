#!/usr/bin/python
"""Ansible module: packages of a Debian or Ubuntu host that must be there."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: apt_packages
short_description: Packages that must be installed
description:
  - Installs what is missing, without recommended packages, after refreshing the lists.
  - Unlike M(ansible.builtin.apt) it works in check mode on a host without python3-apt, and costs one dpkg-query
    where nothing is missing.
options:
  names:
    description: The packages' names.
    type: list
    elements: str
    required: true
  upgrade:
    description: Bring those that are there to the newest version that the host's sources have, too.
    type: bool
    default: false
  lock_timeout:
    description: How long to wait, in seconds, while another program (a first boot's upgrade, say) holds apt's lock.
    type: int
    default: 600
"""

RETURN = r"""
installed:
  description: The packages that were missing, or had to be upgraded.
  type: list
  returned: always
"""

QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C"}


def versions(module: AnsibleModule, names: list[str]) -> dict[str, str]:
    """Version of each of `names` that dpkg has completely installed."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${db:Status-Status}\n", *names]
    _, out, _ = module.run_command(query)  # exits 1 when it knows nothing of one of them
    lines = [line.split() for line in out.splitlines() if line.endswith(" installed")]
    return {name: version for name, version, _ in lines}


def first_error(*outputs: str) -> str:
    """Apt's first line of complaint in `outputs`, or a last resort."""
    lines = [line for output in outputs for line in output.splitlines()]
    return next((line for line in lines if line.startswith("E:")), lines[-1] if lines else "no message")


def main() -> None:
    """Install what is missing and say what that was."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "upgrade": {"type": "bool", "default": False},
            "lock_timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    names, before = module.params["names"], versions(module, module.params["names"])
    wanted = [name for name in names if module.params["upgrade"] or name not in before]
    after = before | dict.fromkeys(wanted, "newest")
    if wanted and not module.check_mode:
        apt = ["apt-get", "--quiet", "-o", f"DPkg::Lock::Timeout={module.params['lock_timeout']}"]
        _, _, stale = module.run_command([*apt, "update"], environ_update=QUIET)
        install = [*apt, "install", "--yes", "--no-install-recommends", *wanted]
        code, _, errors = module.run_command(install, environ_update=QUIET)
        if code:
            module.fail_json(
                msg=f"apt-get cannot install {' '.join(wanted)}: {first_error(errors, stale)}; "
                "mend the host's apt sources or its network and run this again"
            )
        after = versions(module, names)
    shown = ["".join(f"{name} {of.get(name, 'absent')}\n" for name in names) for of in (before, after)]
    module.exit_json(
        changed=before != after,
        installed=[name for name in names if before.get(name) != after.get(name)],
        diff={"before": shown[0], "after": shown[1]},
    )


if __name__ == "__main__":
    main()
