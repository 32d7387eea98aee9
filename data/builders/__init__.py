"""One module per folder of shipped data: how its files were made from their sources."""
