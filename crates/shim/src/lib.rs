//! Parent and tracer of one instance
