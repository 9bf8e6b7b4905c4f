"""What the unit tests take of the fixtures that all quick tests share."""

from shared_fixtures import cli, cli_of, inventory, keep, key, read_inventory, record, run_module, state

__all__ = ["cli", "cli_of", "inventory", "keep", "key", "read_inventory", "record", "run_module", "state"]
