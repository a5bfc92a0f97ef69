"""The authority over budgets, rates and slots: grants leases of them to data planes."""
