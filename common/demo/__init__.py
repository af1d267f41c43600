"""A page on this machine to drop photos on: `make demo`. It needs Gradio, which is optional.

quiet      Gradio, imported with everything of it off that calls home
offline    no connection to any other machine
gate       which requests are answered, and what the page may fetch
studio     uploaded photos coloured, one at a time, as `make colorize` does it
previews   a photo as the page shows it
examples   photos to try it with
page       the controls and pictures, and what they do
server     the address, the start and the end
"""
