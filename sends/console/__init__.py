"""The console's pages about sending."""
