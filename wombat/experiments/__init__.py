"""What only wombat does: training on the accelerator, and the mean of several runs' weights."""
