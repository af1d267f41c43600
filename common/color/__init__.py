"""sRGB <-> L*a*b*, the scaling of L* and ab, and the 313 bins of ab."""
