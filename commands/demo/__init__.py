"""The demo: the whole chain on synthetic worlds, from rendered videos to a trained student."""
