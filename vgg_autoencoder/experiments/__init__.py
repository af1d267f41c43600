"""What only this report does: training with and without the penalties."""
