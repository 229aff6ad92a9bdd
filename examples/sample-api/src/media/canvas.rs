/// Pixels as indices into a palette of at most 64 colours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Pixels per row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// Row by row, one palette index each.
    pub pixels: Vec<u8>,
}

impl Canvas {
    /// A canvas whose pixel at (x, y) is what `index` says.
    pub fn painted(width: u16, height: u16, index: impl Fn(i32, i32) -> u8) -> Self {
        let mut pixels = Vec::with_capacity(usize::from(width) * usize::from(height));
        for y in 0..height {
            for x in 0..width {
                pixels.push(index(i32::from(x), i32::from(y)));
            }
        }
        Self { width, height, pixels }
    }
}
