"""Kafka, MongoDB and S3 as processes of this machine, without Docker: for the command `relaydesk` and the tests."""
