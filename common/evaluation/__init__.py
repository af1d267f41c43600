"""Models, baselines and other systems' pictures x a data set -> table, metrics.json and a page.

evaluate         `evaluate`: the whole, with its `Options`, and what is written
rows             the typed results, found by name, and their JSON
measure          the pass over the pictures: every metric of every method
models           an exported model as a method
baselines        one colour for all; the colours of the most similar training picture
predictions      a folder of pictures that another system made
feature_networks ImageNet networks as functions of pictures
network_metrics  the metrics that networks compute: LPIPS, FID, KID, top-1
statistics       confidence intervals, paired comparisons, and the best of each column
histograms       how often each a* and b* occurs
protocol         how the figures are computed, in sentences
presets          named protocols: which pictures at which size
table            the terminal's table and the rows of metrics.csv
markdown         a comparison's results as Markdown
page             the page: templates, charts, the pictures shown
"""
