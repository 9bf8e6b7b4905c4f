"""`provisioner lab ssh NAME`: logs in to a host of a lab, or runs a command there."""

import os
from argparse import Namespace

from provisioner import lab
from provisioner.errors import Exit, ProvisionerError
from provisioner.system.paths import state_dir

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Become ssh, whose exit code is then that of this process."""
    remote = options.remote[1:] if options.remote[:1] == ["--"] else options.remote
    command = lab.login(options.host, state_dir(options.state_dir))
    try:
        os.execvp(command[0], [*command, *(["--", *remote] if remote else [])])  # noqa: S606 - no shell is meant
    except OSError as error:
        raise ProvisionerError(
            f"cannot start ssh: {error.strerror}", "run `apt-get install openssh-client` as root", Exit.BAD_INPUT
        ) from error
