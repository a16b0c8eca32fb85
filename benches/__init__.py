"""Database libraries against each other: the same rows, equal answers or no figure."""
