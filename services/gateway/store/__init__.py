"""The gateway's documents, a module a noun. Every query names the workspace; the client library stays out of here."""
