use super::{FILM_SIDE, MediaError, Scene, size};

/// Most frames in one film, however long it lasts.
pub const FILM_FRAMES_MAX: u32 = 48;
/// Longest film.
pub const FILM_SECONDS_MAX: u32 = 60;
/// Frames a second while the film is short enough for it.
const FRAMES_PER_SECOND: u32 = 8;
/// GIF counts delays in hundredths of a second.
const TICKS_PER_SECOND: u32 = 100;

/// An endless GIF of the prompt whose frames last `seconds` together.
///
/// # Errors
/// [`MediaError::Aspect`] and [`MediaError::Duration`] for what cannot be drawn.
pub fn film(
    model: &str,
    prompt: &str,
    seed: &str,
    aspect: &str,
    seconds: u32,
) -> Result<Vec<u8>, MediaError> {
    if !(1..=FILM_SECONDS_MAX).contains(&seconds) {
        return Err(MediaError::Duration);
    }
    let (width, height) = size(aspect, FILM_SIDE)?;
    let scene = Scene::new(model, prompt, seed);
    let frames = (seconds * FRAMES_PER_SECOND).min(FILM_FRAMES_MAX);
    let ticks = seconds * TICKS_PER_SECOND;
    let mut file = Vec::new();
    let mut encoder = gif::Encoder::new(&mut file, width, height, &scene.palette())?;
    encoder.set_repeat(gif::Repeat::Infinite)?;
    for nth in 0..frames {
        let canvas = scene.paint(width, height, nth, frames);
        // Each frame ends where its share of the whole ends, so the sum is exact.
        let delay = ticks * (nth + 1) / frames - ticks * nth / frames;
        encoder.write_frame(&gif::Frame {
            width,
            height,
            delay: u16::try_from(delay).map_err(|_| MediaError::Duration)?,
            buffer: canvas.pixels.into(),
            ..gif::Frame::default()
        })?;
    }
    drop(encoder);
    Ok(file)
}
