"""The page of an evaluation: one HTML file that opens from disk."""
