//! Pictures and films drawn from a prompt, with integers only.
//!
//! The same model, prompt, seed and size always give the same bytes.

mod canvas;
mod dice;
mod film;
mod picture;
mod scene;

#[cfg(test)]
mod tests;

pub use canvas::Canvas;
pub use dice::Dice;
pub use film::{FILM_FRAMES_MAX, FILM_SECONDS_MAX, film};
pub use picture::picture;
pub use scene::Scene;

/// Longest side of a film's frames, in pixels.
pub const FILM_SIDE: u16 = 192;

/// Steepest shape either side of a picture may have (`21:9` is 2.33, `1:8` is 8).
const ASPECT_RATIO_MAX: u32 = 16;

/// How finely a picture is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// `is_fast`: half the side.
    Fast,
    /// The ordinary size.
    #[default]
    Normal,
    /// `is_uhd`: one and a half times the side.
    Uhd,
}

impl Detail {
    /// Longest side in pixels.
    pub const fn side(self) -> u16 {
        match self {
            Self::Fast => 256,
            Self::Normal => 512,
            Self::Uhd => 768,
        }
    }
}

/// Why a medium could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// Not `W:H` with small positive numbers.
    #[error("an aspect ratio is written W:H, for instance 16:9")]
    Aspect,
    /// A duration outside 1 to [`FILM_SECONDS_MAX`] seconds.
    #[error("a film lasts 1 to {FILM_SECONDS_MAX} seconds")]
    Duration,
    /// The PNG encoder refused.
    #[error("png: {0}")]
    Png(#[from] png::EncodingError),
    /// The GIF encoder refused.
    #[error("gif: {0}")]
    Gif(#[from] gif::EncodingError),
}

/// Width and height in pixels for an aspect ratio `W:H` whose longer side is `side`.
///
/// # Errors
/// [`MediaError::Aspect`] for anything that is not two positive numbers, or too steep.
pub fn size(aspect: &str, side: u16) -> Result<(u16, u16), MediaError> {
    let (width, height) = aspect.split_once(':').ok_or(MediaError::Aspect)?;
    let part = |text: &str| -> Result<u32, MediaError> {
        let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten().filter(|n| *n > 0).ok_or(MediaError::Aspect)
    };
    let (width, height) = (part(width)?, part(height)?);
    let (long, short) = (width.max(height), width.min(height));
    if long > short.saturating_mul(ASPECT_RATIO_MAX) {
        return Err(MediaError::Aspect);
    }
    // Rounded to the nearest pixel.
    let scaled = u32::from(side).saturating_mul(short).saturating_add(long / 2) / long;
    let scaled = u16::try_from(scaled).map_err(|_| MediaError::Aspect)?.max(1);
    Ok(if width >= height { (side, scaled) } else { (scaled, side) })
}
