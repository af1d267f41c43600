"""What the reports share: colours, photos, records, training, evaluation. Knows no report."""
