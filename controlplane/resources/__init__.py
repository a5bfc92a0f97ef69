"""One engine for every config resource: one table that is the changelog too, standard methods, apply."""
