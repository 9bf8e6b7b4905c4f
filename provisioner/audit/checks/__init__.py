"""The checks, by what they look at: each a function of the evidence, whose docstring's first line is its claim."""
