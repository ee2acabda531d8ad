"""Renderers: tokens to files that a person can hear, read or look at."""
