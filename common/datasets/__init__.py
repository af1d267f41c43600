"""A folder or a catalogued data set -> shards and the features that frozen networks give."""
