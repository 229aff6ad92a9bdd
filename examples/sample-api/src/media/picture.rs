use super::{Detail, MediaError, Scene, size};

/// A PNG of the prompt in the given aspect ratio (`W:H`).
///
/// # Errors
/// [`MediaError::Aspect`] for an impossible aspect ratio.
pub fn picture(
    model: &str,
    prompt: &str,
    seed: &str,
    aspect: &str,
    detail: Detail,
) -> Result<Vec<u8>, MediaError> {
    let (width, height) = size(aspect, detail.side())?;
    let scene = Scene::new(model, prompt, seed);
    let canvas = scene.paint(width, height, 0, 1);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, u32::from(width), u32::from(height));
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(scene.palette());
    encoder.set_compression(png::Compression::Balanced);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas.pixels)?;
    writer.finish()?;
    Ok(file)
}
