#!/usr/bin/python
"""Ansible module: a repository's signing key, taken only if it has the fingerprint that is known."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_gpu_driver import fingerprints, text
from ansible.module_utils.urls import open_url

DOCUMENTATION = r"""
module: pinned_key
short_description: A repository's signing key, pinned by its fingerprint
options:
  url:
    description: Where the armoured key is.
    type: str
    required: true
  path:
    description: Where it is put.
    type: path
    required: true
  fingerprint:
    description: The fingerprint of the key, 40 hexadecimal digits in capitals.
    type: str
    required: true
"""

RETURN = r"""
fingerprints: {description: Those of the keys that were there before., type: list, returned: always}
"""

# A key is a few kilobytes; what is longer is something else.
LIMIT_BYTES = 1_000_000


def main() -> None:
    """Bring the key, or say why it is not taken."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "fingerprint": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    url, path, wanted = (module.params[name] for name in ("url", "path", "fingerprint"))
    before = fingerprints(text(path))
    if before == {wanted} or module.check_mode:
        module.exit_json(changed=before != {wanted}, fingerprints=sorted(before))
    try:
        armoured = open_url(url, timeout=30).read(LIMIT_BYTES).decode("ascii", errors="replace")
    except OSError as error:
        module.fail_json(msg=f"{url} does not answer: {error}; mend the host's network or set gpu_driver_repository")
    found = fingerprints(armoured)
    if found != {wanted}:
        module.fail_json(
            msg=f"the key at {url} is {', '.join(sorted(found)) or 'no key'}, not {wanted}: it is not taken; "
            "ask who runs the repository, and set gpu_driver_key_fingerprint only if the new key is theirs"
        )
    with tempfile.NamedTemporaryFile("w", dir=module.tmpdir, delete=False) as file:
        file.write(armoured)
    Path(file.name).chmod(0o644)
    module.atomic_move(file.name, path)
    module.exit_json(changed=True, fingerprints=sorted(before))


if __name__ == "__main__":
    main()
