"""The commands, one a module: each has `main(options) -> int` and is imported only when it is asked for."""
