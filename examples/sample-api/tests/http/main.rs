//! The API over HTTP without a gate in front: accounts with an API key are
//! served, everybody else is not.

mod chat;
mod generation;
mod host;
mod pricing;
