//! Code generated from idl/.
