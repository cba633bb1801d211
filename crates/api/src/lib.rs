//! HTTP and JSON shapes, the page, sessions
