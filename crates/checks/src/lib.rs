#![doc = include_str!("../README.md")]
// Everything here is a test.
#![cfg(test)]

mod circles;
mod errors;
#[allow(dead_code)]
mod files;
mod imports;
mod whole;
