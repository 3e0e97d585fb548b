"""What happens to whole workspaces: they are joined, and videos are taken down."""
