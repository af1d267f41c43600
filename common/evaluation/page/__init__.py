"""The page of an evaluation: one HTML file that opens from disk.

render     the page, of an `Evaluation` and its `Gallery`
gallery    which pictures it shows, and their files
tables     its tables, cell by cell
panels     its charts: histograms of colours, curves of training
charts     the coordinates of a chart
document   a page in one file, made of a template, a script and style sheets
"""
