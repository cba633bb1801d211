//! Telling people: channels and a durable outbox
