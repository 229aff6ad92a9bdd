use super::{Canvas, Dice};

/// Colours of the background, from one side of the picture to the other.
const SHADES: u8 = 24;
/// Most shapes in one scene; a prompt's words decide how many there are.
const SHAPES_MAX: usize = 14;
const SHAPES_MIN: usize = 4;
/// Scenes are laid out on a square of this many units and scaled to the canvas.
const UNITS: i32 = 1024;

type Rgb = [u8; 3];

/// Words of a prompt that choose the colours.
const COLOURS: [(&str, Rgb); 22] = [
    ("red", [204, 44, 44]),
    ("orange", [232, 130, 36]),
    ("yellow", [242, 208, 60]),
    ("gold", [212, 166, 52]),
    ("green", [52, 152, 78]),
    ("forest", [30, 94, 56]),
    ("teal", [30, 140, 140]),
    ("cyan", [70, 200, 214]),
    ("blue", [44, 92, 196]),
    ("ocean", [18, 76, 128]),
    ("sky", [122, 182, 232]),
    ("purple", [122, 62, 172]),
    ("violet", [140, 84, 204]),
    ("pink", [238, 130, 170]),
    ("brown", [120, 78, 48]),
    ("wood", [150, 104, 64]),
    ("sand", [222, 200, 154]),
    ("steel", [132, 142, 152]),
    ("glass", [176, 214, 220]),
    ("white", [244, 244, 240]),
    ("black", [26, 26, 30]),
    ("night", [20, 22, 58]),
];

#[derive(Clone, Copy, Debug)]
enum Form {
    Disc,
    Ring,
    Block,
    Diamond,
}

#[derive(Clone, Debug)]
struct Shape {
    form: Form,
    colour: u8,
    x: i32,
    y: i32,
    radius: i32,
    /// Units travelled over a whole film; a multiple of `UNITS`, so that films loop.
    travel_x: i32,
    travel_y: i32,
}

/// What a prompt looks like: a background and shapes that move with time.
#[derive(Clone, Debug)]
pub struct Scene {
    palette: Vec<Rgb>,
    slope: (i32, i32),
    shapes: Vec<Shape>,
}

impl Scene {
    /// The scene for a model and a prompt; `seed` varies it.
    pub fn new(model: &str, prompt: &str, seed: &str) -> Self {
        let mut dice = Dice::seeded(&[model, prompt, seed]);
        let words: Vec<String> = prompt
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(str::to_lowercase)
            .collect();
        let named: Vec<Rgb> = words
            .iter()
            .filter_map(|word| COLOURS.iter().find(|(name, _)| name == word).map(|(_, rgb)| *rgb))
            .collect();
        let from = named.first().copied().unwrap_or_else(|| any_colour(&mut dice));
        let to = any_colour(&mut dice);
        let mut palette: Vec<Rgb> =
            (0..SHADES).map(|step| mix(from, to, u32::from(step), u32::from(SHADES) - 1)).collect();
        let count = words.len().clamp(SHAPES_MIN, SHAPES_MAX);
        let mut shapes = Vec::with_capacity(count);
        for nth in 0..count {
            // Colours the prompt names come first, then whatever falls.
            palette.push(named.get(nth + 1).copied().unwrap_or_else(|| any_colour(&mut dice)));
            shapes.push(Shape {
                form: *dice
                    .pick(&[Form::Disc, Form::Ring, Form::Block, Form::Diamond])
                    .unwrap_or(&Form::Disc),
                colour: u8::try_from(palette.len().saturating_sub(1)).unwrap_or(0),
                x: units(&mut dice, 0, 1023),
                y: units(&mut dice, 0, 1023),
                radius: units(&mut dice, 40, 220),
                travel_x: (units(&mut dice, 0, 2) - 1) * UNITS,
                travel_y: (units(&mut dice, 0, 2) - 1) * UNITS,
            });
        }
        // A film in which nothing moves would be a picture.
        if let Some(first) = shapes.first_mut() {
            first.travel_x = UNITS;
        }
        Self { palette, slope: (units(&mut dice, 1, 4), units(&mut dice, 1, 4)), shapes }
    }

    /// Red, green and blue of every palette index, one after the other.
    pub fn palette(&self) -> Vec<u8> {
        self.palette.concat()
    }

    /// The scene at moment `step` of `steps`.
    pub fn paint(&self, width: u16, height: u16, step: u32, steps: u32) -> Canvas {
        let long = i32::from(width.max(height)).max(1);
        let shapes: Vec<Shape> = self.shapes.iter().map(|shape| shape.at(step, steps)).collect();
        // Shapes live on a square; the canvas shows its middle band.
        let (left, top) = ((long - i32::from(width)) / 2, (long - i32::from(height)) / 2);
        Canvas::painted(width, height, |x, y| {
            let (ux, uy) = ((x + left) * UNITS / long, (y + top) * UNITS / long);
            shapes
                .iter()
                .rev()
                .find(|shape| shape.covers(ux, uy))
                .map_or_else(|| self.background(ux, uy), |shape| shape.colour)
        })
    }

    fn background(&self, ux: i32, uy: i32) -> u8 {
        let (a, b) = self.slope;
        let along = (ux * a + uy * b) / (a + b);
        u8::try_from(along * i32::from(SHADES) / UNITS).unwrap_or(0).min(SHADES - 1)
    }
}

impl Shape {
    fn at(&self, step: u32, steps: u32) -> Self {
        let (step, steps) = (i32::try_from(step).unwrap_or(0), i32::try_from(steps.max(1)).unwrap_or(1));
        let moved = |start: i32, travel: i32| (start + travel / steps * step).rem_euclid(UNITS);
        Self { x: moved(self.x, self.travel_x), y: moved(self.y, self.travel_y), ..self.clone() }
    }

    fn covers(&self, ux: i32, uy: i32) -> bool {
        let (dx, dy) = ((ux - self.x).abs(), (uy - self.y).abs());
        let r = self.radius;
        match self.form {
            Form::Disc => dx * dx + dy * dy <= r * r,
            Form::Ring => (r * r / 2..=r * r).contains(&(dx * dx + dy * dy)),
            Form::Block => dx <= r && dy <= r * 2 / 3,
            Form::Diamond => dx + dy <= r,
        }
    }
}

fn units(dice: &mut Dice, low: u32, high: u32) -> i32 {
    i32::try_from(dice.between(low, high)).unwrap_or(0)
}

fn any_colour(dice: &mut Dice) -> Rgb {
    let mut part = || u8::try_from(dice.between(24, 240)).unwrap_or(128);
    [part(), part(), part()]
}

/// `step` of `steps` on the way from one colour to another.
fn mix(from: Rgb, to: Rgb, step: u32, steps: u32) -> Rgb {
    let part = |a: u8, b: u8| {
        let sum = u32::from(a) * steps.saturating_sub(step) + u32::from(b) * step;
        u8::try_from(sum / steps.max(1)).unwrap_or(u8::MAX)
    };
    [part(from[0], to[0]), part(from[1], to[1]), part(from[2], to[2])]
}
