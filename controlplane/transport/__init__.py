"""The admin API on the wire: one handler per method, served as gRPC and, from its google.api.http rule, as REST."""
