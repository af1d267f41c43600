"""Asking people which pictures are recoloured, and reading their answers.

ask      the pictures of a survey, its page and its key: `make survey-koala`
answers  the files that people return, and the shares they took for real: `make survey-results`
schema   the two kinds of JSON files that both know
"""
