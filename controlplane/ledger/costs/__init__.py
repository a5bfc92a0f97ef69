"""What calls have cost by what rules can tell apart, for those who limit it."""
