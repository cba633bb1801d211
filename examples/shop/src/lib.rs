//! A small but real shop: catalogue, carts, checkout, accounts, reviews, store credit and loyalty points over SQLite or
//! PostgreSQL, with a worker that processes orders.
//!
//! It is written as a small team under time pressure would write it, and has the bugs that such a team ships. Each of
//! them is reached by an ordinary user's requests; [`STORIES`] lists those, [`honest_request`] everything that works.
//! The shop does not know that it is supervised; it only links the SDK as any service would.

mod config;
mod db;
mod inventory;
mod ledger;
mod native;
mod pricing;
mod recommend;
mod routes;
mod serve;
mod session;
mod shipping;
mod state;
mod stories;
mod worker;

pub use config::{Config, ConfigError};
pub use serve::{Error, serve};
pub use stories::{Breaks, Request, STORIES, Story, honest_request};
