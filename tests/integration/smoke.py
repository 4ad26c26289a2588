"""What any Kafka, MongoDB and S3 under Relaydesk must do, wherever they run."""

import asyncio
import io

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from minio import Minio
from pymongo import MongoClient

from shared.engines.addresses import Addresses
from shared.engines.s3 import BUCKET

Document = dict[str, object]


async def keep_record(kafka: str, topic: str, value: bytes) -> None:
    """Create the topic and have one record acknowledged."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await admin.start()
    await producer.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()
        await admin.close()


async def first_record(kafka: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            value: bytes | None = (await consumer.getone()).value
            return value
    finally:
        await consumer.stop()


def commit_transaction(mongo: str, database: str) -> list[int]:
    """Write to two collections in one transaction; how many documents each has then."""
    with MongoClient[Document](mongo, w="majority") as client, client.start_session() as session:
        found = client[database]
        with session.start_transaction():
            found["a"].insert_one({"x": 1}, session=session)
            found["b"].insert_one({"x": 2}, session=session)
        return [found[name].count_documents({}) for name in ("a", "b")]


def keep_object(addresses: Addresses, name: str, content: bytes) -> None:
    store = _store(addresses)
    store.put_object(bucket_name=BUCKET, object_name=name, data=io.BytesIO(content), length=len(content))


def kept_object(addresses: Addresses, name: str) -> bytes:
    with _store(addresses).get_object(bucket_name=BUCKET, object_name=name) as answer:
        return answer.data


def _store(addresses: Addresses) -> Minio:
    keys, host = addresses.s3_keys, addresses.s3.removeprefix("http://")
    return Minio(host, keys.access, keys.secret, secure=False, region="us-east-1")
