"""`provisioner bundle`: makes the one archive that hosts without a network are provisioned from."""

import platform
from argparse import Namespace
from hashlib import sha256

from provisioner.commands.common import print_json, say
from provisioner.errors import of_option
from provisioner.offline import bundle
from provisioner.system import paths

__all__ = ["main"]


def main(options: Namespace) -> int:
    """Make the bundle and say where it is."""
    with of_option("--output"):
        chosen = paths.given(options.output) if options.output else None
    out = chosen or bundle.default_path(paths.ensure_state_dir(paths.state_dir(options.state_dir)))
    python = options.python or ".".join(platform.python_version_tuple()[:2])
    manifest = bundle.make(out, python, options.platform, options.runtime, say)
    data = out.read_bytes()
    if options.json:
        print_json({"bundle": str(out), "sha256": sha256(data).hexdigest(), **manifest})
    else:
        say(f"{out}: {len(manifest['files'])} files, {len(data) / 1e6:.1f} MB")
        if chosen:
            say(f"take it with -e local_sources_bundle={out}")
    return 0
