//! Guard rails around every call that leaves the process or could overload it.
