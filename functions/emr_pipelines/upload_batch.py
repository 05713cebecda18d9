"""Uploads that a rule collects become one run, when there are enough of them or the first has waited long enough.

Each file leaves a message for later (`Flush`). So whatever happens to the function, a file that was collected gets
into a batch, and a batch that was decided is started.

These functions yield the runs to start, and go on when a run has been started: until then its files keep waiting.
"""

from collections.abc import Iterator

from emr_pipelines.gateways.manifests import Manifests
from emr_pipelines.gateways.trigger_queue import TriggerQueue
from emr_pipelines.gateways.upload_batches import Batch, UploadBatches
from emr_pipelines.triggers import Collection, Flush, Request, Upload, run_name


def collect_upload(
    upload: Upload, collection: Collection, max_wait_seconds: int, *,
    batches: UploadBatches, manifests: Manifests, queue: TriggerQueue,
) -> Iterator[Request]:  # fmt: skip
    """Let an upload wait for its batch, and yield what became complete by it."""
    file = batches.add(collection.name, upload)
    queue.send_later(Flush(collection, file).as_message(), max_wait_seconds)
    while batches.has(collection.name, collection.max_files):
        batch = batches.decide(collection.name, collection.max_files)
        if batch is None:  # somebody else did, and looks again when its run has started
            return
        yield from _run_for(batch, collection, batches=batches, manifests=manifests)


def flush_batches(flush: Flush, *, batches: UploadBatches, manifests: Manifests) -> Iterator[Request]:
    """Yield batches until a file is in one: first the one that somebody may have left behind."""
    collection = flush.collection
    while batches.is_waiting(collection.name, flush.file):
        batch = batches.being_started(collection.name) or batches.decide(collection.name, collection.max_files)
        if batch is not None:
            yield from _run_for(batch, collection, batches=batches, manifests=manifests)


def _run_for(
    batch: Batch, collection: Collection, *, batches: UploadBatches, manifests: Manifests
) -> Iterator[Request]:
    uploads = batches.list_uploads(collection.name, batch)
    if uploads is not None:
        cause = ("batch", collection.name, *batch.files)
        run_id = run_name(collection.pipeline, cause)
        uri = manifests.put(collection.pipeline, run_id, uploads)
        trigger = {
            "type": "batch",
            "manifestUri": uri,
            "files": len(uploads),
            "prefix": collection.prefix,
            "suffix": collection.suffix,
        }
        yield Request(pipeline=collection.pipeline, trigger=trigger, cause=cause)
    batches.finish(collection.name, batch)
