#![doc = include_str!("../README.md")]

mod cipher;
mod draft;
mod objects;
mod read;
mod shared;
mod store;

#[cfg(test)]
mod tests;

pub use cipher::{AnswerKey, FRAME_BYTES, SEGMENT_BYTES};
pub use draft::{Draft, DraftReader, Loss, ReaderHandle, Register, Sealed, Step, Taken};
pub use objects::{Folder, Objects, S3, StoreError, folder, folder_when_needed, memory, s3};
pub use read::{StoredAnswerReader, StoredObject};
pub use shared::Limits;
pub use store::AnswerStore;
