"""Models, baselines and predictions of others x pictures -> figures, tables and a page."""
