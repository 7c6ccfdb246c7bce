"""The command line: verbs beside Lightning's own, checks of the input, run folders and terminal output."""
