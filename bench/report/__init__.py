"""From rounds to figures: statistics, table, plots, and the file that keeps everything."""
