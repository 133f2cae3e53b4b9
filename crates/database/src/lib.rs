//! The database service and index adviser block.
