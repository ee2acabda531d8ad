"""Why it sounds like that: what prepared data, runs and clips measure, and what their figures mean."""
