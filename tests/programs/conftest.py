"""Tests that start Ansible, ssh-keygen, a terminal or the scenario's script on this machine: no hosts, no engine.

What is cheap because it starts none of these is a unit test.
"""

from by_hand import script
from shared_fixtures import cli, cli_of, inventory, keep, key, read_inventory, record, run_module, state

__all__ = ["cli", "cli_of", "inventory", "keep", "key", "read_inventory", "record", "run_module", "script", "state"]
