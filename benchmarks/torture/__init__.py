"""Every stage of the work killed at random moments: the command, and the stages."""
