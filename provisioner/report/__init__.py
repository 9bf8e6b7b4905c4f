"""What was measured, as something to look at: one module for each format, all from the same `model.Report`."""

__all__ = ["FORMATS"]

FORMATS = ("html", "markdown", "junit", "openmetrics")
"""Each is a module here with `render(report) -> str`, and an option of `provisioner report`."""
