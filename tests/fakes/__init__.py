"""Small typed stand-ins for what cannot run here, and for the edges of a stage under test."""
