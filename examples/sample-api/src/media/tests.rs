use std::collections::HashSet;
use std::io::Cursor;

use super::*;

fn decode_png(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    (info.width, info.height, pixels)
}

#[test]
fn a_picture_is_a_png_of_the_asked_shape_and_small() {
    for (aspect, detail, expected) in [
        ("1:1", Detail::Normal, (512, 512)),
        ("16:9", Detail::Normal, (512, 288)),
        ("9:16", Detail::Normal, (288, 512)),
        ("21:9", Detail::Fast, (256, 110)),
        ("1:8", Detail::Normal, (64, 512)),
        ("3:2", Detail::Uhd, (768, 512)),
    ] {
        let file = picture("gen", "a red cube on a blue table", "", aspect, detail).unwrap();
        let (width, height, pixels) = decode_png(&file);
        assert_eq!((width, height), expected, "{aspect}");
        assert_eq!(pixels.len(), (width * height * 3) as usize);
        let colours: HashSet<&[u8]> = pixels.chunks(3).collect();
        assert!(colours.len() > 8, "{aspect}: {} colours", colours.len());
        assert!(file.len() < 120_000, "{aspect}: {} bytes", file.len());
    }
}

#[test]
fn the_prompt_decides_the_picture() {
    let draw = |model, prompt, seed| picture(model, prompt, seed, "1:1", Detail::Fast).unwrap();
    let one = draw("gen", "a mug", "1");
    assert_eq!(one, draw("gen", "a mug", "1"));
    assert_ne!(one, draw("gen", "a jug", "1"));
    assert_ne!(one, draw("ani", "a mug", "1"));
    assert_ne!(one, draw("gen", "a mug", "2"));
}

#[test]
fn colours_the_prompt_names_are_in_the_picture() {
    let (_, _, pixels) = decode_png(&picture("gen", "red", "", "1:1", Detail::Normal).unwrap());
    assert!(pixels.chunks(3).any(|rgb| rgb == [204, 44, 44]));
}

#[test]
fn a_film_moves_lasts_as_long_as_asked_and_stays_small() {
    for (seconds, frames_expected) in [(1, 8), (5, 40), (6, 48), (10, 48), (15, 48), (20, 48)] {
        let file = film("ltx-2-3", "a glass sculpture on a table", "", "16:9", seconds).unwrap();
        assert!(file.len() < 260_000, "{seconds} s: {} bytes", file.len());
        let mut decoder = gif::DecodeOptions::new().read_info(Cursor::new(&file)).unwrap();
        assert_eq!((decoder.width(), decoder.height()), (192, 108));
        let (mut ticks, mut frames, mut seen) = (0_u32, 0, HashSet::new());
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            ticks += u32::from(frame.delay);
            frames += 1;
            seen.insert(frame.buffer.to_vec());
        }
        assert_eq!(ticks, seconds * 100);
        assert_eq!(frames, frames_expected);
        assert!(seen.len() > 4, "only {} different frames", seen.len());
    }
}

#[test]
fn impossible_shapes_and_lengths_are_refused() {
    for aspect in ["", "1", "0:1", "1:0", "-1:1", "1:1:1", "1:17", "a:b", "auto", "99999:1", "1.5:1"] {
        assert!(matches!(size(aspect, 512), Err(MediaError::Aspect)), "{aspect:?}");
    }
    for seconds in [0, FILM_SECONDS_MAX + 1, u32::MAX] {
        assert!(matches!(film("m", "p", "", "1:1", seconds), Err(MediaError::Duration)), "{seconds}");
    }
}

#[test]
fn dice_keep_their_range() {
    let mut dice = Dice::seeded(&["x"]);
    for _ in 0..1_000 {
        assert!((3..=9).contains(&dice.between(3, 9)));
        assert_eq!(dice.below(0), 0);
    }
    assert_ne!(Dice::seeded(&["ab", "c"]).roll(), Dice::seeded(&["a", "bc"]).roll());
}
