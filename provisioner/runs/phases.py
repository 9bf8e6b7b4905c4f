"""The phases of a run, in their order: the one table that figures, tables and report pages take them from.

Apart from the record's types, which are slow to import.
"""

from typing import NamedTuple

__all__ = ["PHASES", "TABLE", "Colour", "TimedPhase", "within"]


class Colour(NamedTuple):
    """What fills the part of a chart that is a phase, and the text on it; as CSS has colours."""

    fill: str
    text: str = "#111"


class TimedPhase(NamedTuple):
    """What is known of a phase before any run: its name, where it runs, how it looks on a page."""

    name: str
    colour: Colour
    within: str = ""
    """The phase that it runs in, and whose own time is told less this one's."""
    on_dark: Colour | None = None
    """On a dark page, where that is another."""


# Colours after Okabe and Ito: told apart by colour-blind eyes.
TABLE = (
    TimedPhase("clean", Colour("#999")),
    TimedPhase("lay_down", Colour("#f0e442")),
    TimedPhase("image_build", Colour("#0072b2", text="#fff"), on_dark=Colour("#2f8fd0")),
    TimedPhase("container_up", Colour("#56b4e9")),
    TimedPhase("clone", Colour("#009e73"), within="container_up"),
    TimedPhase("compile", Colour("#e69f00"), within="container_up"),
    TimedPhase("pre_commit", Colour("#cc79a7"), within="container_up"),
    TimedPhase("attention_test", Colour("#d55e00")),
)

PHASES = tuple(phase.name for phase in TABLE)


def within(name: str) -> tuple[str, ...]:
    """Return the phases that run within the phase of this name: the post-create script's within `container_up`."""
    return tuple(phase.name for phase in TABLE if phase.within == name)
