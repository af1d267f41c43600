"""What only this report does: the study of its networks, and the pretext task."""
