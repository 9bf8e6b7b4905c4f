"""What a run is: its phases, its evidence, its figures, its record."""
