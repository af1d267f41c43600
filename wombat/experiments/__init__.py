"""What only wombat does: finding its recipe, and making the shipped model.

changes   one change of the recipe at a time, by the command of every training
levers    more of them, trained as `resident` does
resident  training with pictures and steps on the accelerator, on JAX
soup      the mean of several runs' weights
"""
