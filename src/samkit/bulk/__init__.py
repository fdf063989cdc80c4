"""Masks of very many images into one table, as Parquet files that a run can go on with.

From the bottom to the top, each file imports only those before it:

- `places`: files and folders, on this machine or in an object store;
- `sources`: the images and videos of a folder, pattern, tar or Parquet file;
- `prompt_tables`: prompts for them;
- `shards`: the listing, cut into what becomes a file;
- `tables`: rows of masks, and those files;
- `work`: a shard becomes a file, whatever engine schedules it;
- `engines`: who does the shards;
- `running`: which shards there are, and which are left;
- `results`: what was written.
"""

from samkit.bulk.results import BulkImage, open, save_coco, status, verify
from samkit.bulk.running import Status, run

__all__ = ["BulkImage", "Status", "open", "run", "save_coco", "status", "verify"]
