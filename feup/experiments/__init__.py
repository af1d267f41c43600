"""What only this report does: the study of its networks, and the pretext task.

study           the report's table anew: all networks under one protocol
pretext         the pretext task: its command, and the encoders that it compares
classifiers     the classifiers on these encoders, and their training
pretext_report  intervals, tables and curves of their results
"""
