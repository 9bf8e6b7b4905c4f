"""What a text may be, wherever it comes from, and how it looks to a person."""
