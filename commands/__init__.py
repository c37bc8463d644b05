"""The commands: each parses its options, calls one function of a lower floor, and prints the result."""
