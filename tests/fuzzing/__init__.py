"""Hostile inputs for every reader: seeds, mutations, and the rules that an answer must keep."""
