#![doc = include_str!("../README.md")]
// Everything here is a test.
#![cfg(test)]

mod circles;
#[allow(dead_code)]
mod files;
#[allow(dead_code)]
mod imports;
mod whole;
