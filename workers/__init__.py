"""The process that runs trials, and what others see of it."""
