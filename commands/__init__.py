"""One file a noun of the command line: parse, call one function of a lower floor, print."""
