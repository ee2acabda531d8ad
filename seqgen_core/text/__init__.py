"""Text: files to characters and words, and these to tokens and back."""
