"""Sound: files, resampling, companding, silence, synthesis. A leaf: outside files, arrays and tokens, nothing above."""
