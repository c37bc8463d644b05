"""What can be known of a study, before it runs and afterwards."""
