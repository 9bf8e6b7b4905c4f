"""What two snapshots of one host differ in, as lines for a person."""

Snapshot = dict[str, dict[str, str]]

ENGINE = {"docker.service", "docker.socket", "containerd.service"}


def lost(before: Snapshot, after: Snapshot) -> list[str]:
    """Return what the site had and has no more, or has otherwise; what we may do to it by our own words is left out.

    An engine may be restarted while no container of its runs, and forwarding is switched on by every engine.
    """
    idle = not before["container"]
    return [
        line
        for section, things in before.items()
        for name, was in things.items()
        if (line := _difference(section, name, was, after[section].get(name)))
        and not (section == "unit" and name in ENGINE and idle and name in after["unit"])
        and not (section == "sysctl" and "forward" in name and after[section].get(name) == "1")
    ]


def gained(before: Snapshot, after: Snapshot) -> list[str]:
    """Return what is there that was not; units that run by themselves are not told."""
    return [
        f"{section} {name}: new, {now or 'there'}"
        for section, things in after.items()
        if section not in {"unit", "mount"}
        for name, now in things.items()
        if name not in before[section]
    ]


def _difference(section: str, name: str, was: str, now: str | None) -> str:
    if now is None:
        return f"{section} {name}: was {was or 'there'}, is gone"
    return f"{section} {name}: was {was}, is {now}" if was != now else ""
