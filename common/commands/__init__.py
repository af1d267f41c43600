"""What make and the command line call; the only room that chains the others.

__main__        the command `colorization`: the table of subcommands
reports         the reports' packages, found by name
prepare         `data`: shards and embeddings of a folder of pictures
train           `train`: prepare, train, export and evaluate, in a chain
evaluate        `eval`: models on a test split
colorize        a photo or a folder of photos
survey          a page that asks people which pictures are recoloured
survey_results  people's answers, counted
reproduce       a report's recipes, its figures beside ours: `Row`, of which its claims.py consists
"""
