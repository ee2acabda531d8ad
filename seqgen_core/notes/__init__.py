"""Notes: MIDI and MATLAB files to piano rolls and back, rolls to sound and pictures."""
