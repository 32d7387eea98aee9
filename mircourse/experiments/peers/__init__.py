"""Published models that the course compares its own with, runnable without their frameworks."""
