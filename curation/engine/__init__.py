"""What runs stages: the driver, its log, its progress, executors and ranks."""
