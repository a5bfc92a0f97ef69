"""The whole stack on one machine: a supervisor over the planes, embedded Postgres and embedded NATS."""
