#![doc = include_str!("../README.md")]

mod error;
pub mod ports;
pub mod proxy;
pub mod rpc;

#[cfg(feature = "base")]
pub mod anvil;
#[cfg(feature = "base")]
pub mod base;
#[cfg(feature = "solana")]
pub mod solana;

pub use error::DevnetError;
