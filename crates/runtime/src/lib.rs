//! Trapping, holding and reading processes
