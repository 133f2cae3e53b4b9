//! The embedded engine and the control-plane data model.
