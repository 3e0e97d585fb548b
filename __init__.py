"""dmforge: build and judge the data that teaches a model to think with video, and train on it."""

__version__ = "0.2.0"
