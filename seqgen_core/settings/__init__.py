"""Settings of every stage and model: pydantic classes, the project file, presets. Nothing here imports torch."""
