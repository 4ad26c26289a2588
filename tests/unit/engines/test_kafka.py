"""What can be said of the local Kafka without starting it."""

from shared.engines.kafka import cluster_id


def test_no_cluster_id_looks_like_an_option() -> None:
    """One in 64 would: the storage tool refused to format, now and then."""
    idents = [cluster_id() for _ in range(5_000)]
    assert not [ident for ident in idents if ident.startswith("-")]
    assert {len(ident) for ident in idents} == {22} and len(set(idents)) == 5_000
