"""What is in deploy/: its files are understood by those they are for, and what the guide says has been done."""
