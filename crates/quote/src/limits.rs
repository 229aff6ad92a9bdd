//! Limits that errors name.

/// Longest catalogue that is read.
pub const CATALOGUE_BYTES_MAX: usize = 4 * 1024 * 1024;
