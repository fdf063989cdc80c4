"""Made-up training pictures and clips, with exact masks."""
