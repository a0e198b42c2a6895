"""What can be asked of the database; nothing here writes."""
