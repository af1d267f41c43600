"""What only wombat does: training with all pictures in the accelerator's memory."""
