"""Measures of samples beside bits: how near drawn clips are to real ones, with intervals over clips.

Every measure here is arithmetic on clips that are handed in, as waveforms, tokens, texts, rolls or images.
"""
