"""What tests share: engines, clients of the public contract, in-memory twins. Never imported by services."""
