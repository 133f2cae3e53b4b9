//! The Thrift edge.
