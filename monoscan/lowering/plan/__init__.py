"""What will run, as data."""
