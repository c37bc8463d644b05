"""Faults done to real workers and their database, and the promises that must hold afterwards."""
