"""What was measured, as something to look at: one module for each format, all from the same `model.Report`."""
