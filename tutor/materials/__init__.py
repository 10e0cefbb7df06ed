"""What pages and notebooks are made of and no chapter teaches."""
