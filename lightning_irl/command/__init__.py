"""The command line: verbs over Lightning's own, checks of what is given, the folders of runs, and what a terminal
shows.
"""
