"""Re-rating: booked usage priced anew, previewed first and then posted as adjustments."""
