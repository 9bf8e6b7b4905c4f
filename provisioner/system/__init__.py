"""This machine: its files, where things are, and who gives a command."""
