"""Pure rules, standard library only, that must be computed alike on both planes."""
