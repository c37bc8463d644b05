"""A study or a bundle as one HTML page that opens offline, and its figures as PNG files."""
