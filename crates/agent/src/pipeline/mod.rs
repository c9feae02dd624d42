//! From batches to records and series.
