//! Secrets are taken out before anything is stored
