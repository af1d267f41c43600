"""What make and the command line call; the only room that chains the others."""
