"""A page on which people take recordings apart."""
