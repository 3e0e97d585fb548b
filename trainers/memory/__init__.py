"""What a training needs of a device's memory, found out without loading any weights."""
