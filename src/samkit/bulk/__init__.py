"""Masks of very many images into one table, as Parquet files that a run can go on with."""

from samkit.bulk.results import BulkImage, open, save_coco, status, verify
from samkit.bulk.running import Status, run

__all__ = ["BulkImage", "Status", "open", "run", "save_coco", "status", "verify"]
