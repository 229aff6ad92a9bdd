#![doc = include_str!("../README.md")]

pub mod app;
mod attestation;
pub mod buyer;
pub mod chat;
pub mod error;
pub mod generation;
mod hooks;
pub mod jobs;
pub mod keys;
pub mod media;
pub mod pricing;
pub mod runs;
