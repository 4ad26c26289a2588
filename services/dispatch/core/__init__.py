"""The rules of delivery, pure: no clock, no waiting, no ids made up, no client library. Imports only the contracts."""
