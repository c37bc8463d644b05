"""Faults for real workers and their database, and checks of the guarantees that must survive."""
