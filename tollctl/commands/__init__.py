"""The verbs, a module each. Their imports are cheap; what is heavy is imported by the command that needs it."""
