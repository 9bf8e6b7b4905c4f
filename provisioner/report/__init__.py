"""What was measured, as something to look at: records as a document to query, the report, and every output format."""
