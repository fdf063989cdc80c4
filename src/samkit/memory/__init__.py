"""Memory of objects: shared by video, memory across images, and training.

- `bank`: the memories of one object that attention can reach
- `prediction`: predictions from prompts, from memory, or from both
- `masks`: predictions as `Masks`
- `codec`: prompted objects and memories in files
- `arguments`: checks of arguments: networks, ids, frame numbers and prompts
"""

from samkit.memory.bank import MemoryBank
from samkit.nn.memory import Memory

__all__ = ["Memory", "MemoryBank"]
