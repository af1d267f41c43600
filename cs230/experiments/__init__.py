"""What only this report does: one change at a time to `plain`, to find what keeps it brown."""
