"""From a fitted body and a capture to the person's surface."""
