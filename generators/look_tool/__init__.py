"""The look as a tool for others: `crop_video` for trainers and agents that are not dmforge's. docs/look_tool.md says how."""
