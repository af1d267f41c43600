"""Code that the reports share; it imports none of them. Each folder is a stage of the work:

    cli             one-line errors, exit codes, progress
    config          the base of every report's config
    drives          folders that a long work writes in: whether they are still there
    files           atomic writes: a file is complete or absent
    memory          how much of it a process may still take
    locks           one process at a time in a folder, and who that is
    seals           a changed byte of a file is seen
    processes       helper processes: what may crash or hang costs one task
    engines         sharing work out: in this process, or by Ray's workers
    color           sRGB <-> L*a*b*, the scaling of L* and ab, the 313 bins
    photos          any picture file <-> array
    networks        layers, pretrained networks and weights, precision, .h5 files
    datasets        a folder of pictures -> shards and features
    metrics         metrics of one picture and of sets of pictures
    training        training a network, with checkpoints that resume to the same bits
    exports         exported models for other runtimes: ONNX
    colorize        an exported model as a function of photos
    film            a film as frames, coloured so that colours hold
    evaluation      models x pictures -> table, metrics.json and a page
    survey          asking people which pictures are recoloured
    demo            a page to drop photos on
    commands        what make and the command line call; only this folder chains the stages

A stage may import those listed before it and none after; tests/test_house.py enforces it.
"""
