"""The runs that this machine knows: evidence and records as files, and an SQLite index over them."""

from provisioner.store.reading import Text
from provisioner.store.run import Run
from provisioner.store.store import Store

__all__ = ["Run", "Store", "Text"]
