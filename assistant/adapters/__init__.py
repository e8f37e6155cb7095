"""What a model version changes of its base: families of changes, their files, how they are applied."""
