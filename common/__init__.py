"""What the reports share; imports no report. A folder is a stage of the work, in this order:

    cli             one-line errors, exit codes, progress
    config          the base of every report's config
    files           files that are whole or absent
    color           sRGB <-> L*a*b*, the scaling of L* and ab, the 313 bins
    photos          any picture file <-> array
    networks        layers, pretrained networks and weights, precision, .h5 files
    datasets        a folder of pictures -> shards and features
    metrics         the figures of one picture and of sets of pictures
    training        training a network, with checkpoints that resume to the same bits
    colorize        an exported model as a function of photos
    evaluation      models x pictures -> table, metrics.json and a page
    survey          asking people
    commands        what make and the command line call; it alone chains the stages

A stage may import those above it and none below; tests/test_house.py enforces it.
"""
