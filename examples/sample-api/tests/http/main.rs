//! The API over HTTP without a gate in front: accounts with an API key are
//! served, everybody else is not.

// Helpers of tests are tests, which clippy's own exemption does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chat;
mod generation;
mod host;
mod pricing;
