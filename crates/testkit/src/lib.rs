//! What the tests share: service harness, scenario tables, fault layers.
