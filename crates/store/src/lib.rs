//! Incidents and capsules on disk
