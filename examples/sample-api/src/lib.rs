#![doc = include_str!("../README.md")]

mod answer;
mod app;
mod attestation;
mod body;
pub mod buyer;
mod call;
pub mod chat;
pub mod error;
pub mod generation;
mod hooks;
pub mod host;
pub mod jobs;
pub mod keys;
pub mod media;
pub mod paths;
mod priced_hooks;
pub mod pricing;
mod route;
mod router;
mod routes;
pub mod runs;
