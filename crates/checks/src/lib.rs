#![doc = include_str!("../README.md")]
// Everything here is a test.
#![cfg(test)]

mod arrows;
mod chain_crates;
mod circles;
mod errors;
mod files;
mod imports;
mod metrics;
mod modules;
mod packages;
mod pages;
mod whole;
