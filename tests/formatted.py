"""What an output format writes, as a text: for tests of formats and of what is made with them."""

import io
from typing import Any

__all__ = ["rendered"]


def rendered(form: Any, what: Any) -> str:
    """Return what a format, its line in the registry or its module, makes of what it takes."""
    stream = io.StringIO()
    form.write(what, stream)
    return stream.getvalue()
