"""What hosts without a network are given."""
