"""The phases of a run, in their order; apart from the record's types, which are slow to import."""

__all__ = ["PHASES"]

PHASES = ("clean", "lay_down", "image_build", "container_up", "clone", "compile", "pre_commit", "attention_test")
