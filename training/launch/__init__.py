"""Training over several processes: accelerate's configs, who starts the processes, and what each does."""
