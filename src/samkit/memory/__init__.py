"""What is remembered of objects: shared by video and by memory across images."""
