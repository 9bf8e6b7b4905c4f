"""Whether this machine's kernel has room for so many hosts."""

from pathlib import Path

from provisioner.errors import Exit, ProvisionerError

__all__ = ["require_room"]

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
PER_HOST = 10  # inotify instances: 7 once booted, 3 more while somebody logs in


def require_room(hosts: int) -> None:
    """Raise ProvisionerError (code 2) where so many hosts, of all labs together, could not watch their files.

    All their processes are this kernel's and count as root's. Past the limit, services inside fail one by one,
    sshd among them, and none of them says why.
    """
    limit = int(LIMIT.read_text()) if LIMIT.exists() else None
    needed = PER_HOST * hosts
    if limit is not None and needed > limit:
        raise ProvisionerError(
            f"{hosts} lab hosts need {needed} inotify instances, and this kernel allows {limit}",
            f"run `sysctl fs.inotify.max_user_instances={max(1024, needed)}` as root, or ask for fewer hosts",
            Exit.BAD_INPUT,
        )
