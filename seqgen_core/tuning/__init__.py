"""Searching settings: what to try, one trial after another, and what came of them."""
