"""Parses KEY=VALUE pairs as Ansible's -e does, in a process of its own: importing Ansible changes a process.

Reads the text from stdin and writes the pairs as JSON; what is none ends with 1 and Ansible's words on stderr.
"""

import json
import sys

__all__ = ["main"]


def main() -> None:
    """Read, and write; end the process where that fails."""
    from ansible.errors import AnsibleError  # noqa: PLC0415 - only where it is run
    from ansible.parsing.splitter import parse_kv  # noqa: PLC0415

    try:
        pairs = parse_kv(sys.stdin.read())
    except AnsibleError as error:
        sys.exit(str(error))
    json.dump({str(key): str(value) for key, value in pairs.items()}, sys.stdout)


if __name__ == "__main__":
    main()
