"""Kinds of data besides sound: each module gathers the recordings of one kind."""
