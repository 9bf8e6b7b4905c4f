"""Two sets of runs set against each other, and a run that is repeated."""
