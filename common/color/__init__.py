"""sRGB <-> L*a*b*, the scaling of L* and ab, the 313 bins of ab.

lab    sRGB <-> L*a*b*, the gamut, the scaling, sRGB's curves
bins   classes of colour: nearest and soft encoding, rarity, colour from their distribution
dial   how logits of the bins become ab: from faithful to vivid
"""
