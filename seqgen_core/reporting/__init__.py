"""One page about runs, to open, to hear and to send around."""
