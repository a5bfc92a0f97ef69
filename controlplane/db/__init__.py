"""Postgres: engine, transactions, and the head row that orders commits."""
