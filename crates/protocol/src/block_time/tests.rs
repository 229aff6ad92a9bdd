use super::*;

/// A chain whose headers count whole seconds, looked at every `look_ms` for `for_ms`.
fn watched(block_ms: u64, look_ms: u64, for_ms: u64) -> BlockTime {
    let mut time = BlockTime::default();
    for now in (0..=for_ms).step_by(usize::try_from(look_ms).unwrap()) {
        let number = 1_000_000 + now / block_ms;
        // The block's own second, with its fraction cut off.
        let timestamp = 1_800_000_000 + (now / block_ms * block_ms) / 1_000;
        time.observe(number, timestamp * 1_000);
    }
    time
}

#[test]
fn seconds_of_headers_are_enough_for_any_chain() {
    for block_ms in [50, 200, 250, 400, 1_000, 2_000, 3_000, 12_000] {
        for look_ms in [100, 777, 5_000] {
            let measured = watched(block_ms, look_ms, 180_000).measured_ms().unwrap();
            let off = measured.abs_diff(block_ms);
            assert!(off * 20 <= block_ms, "{block_ms} looked at every {look_ms}: {measured}");
        }
    }
}

#[test]
fn nothing_is_measured_within_one_second_of_headers_or_a_few() {
    let mut time = BlockTime::default();
    for number in 0..5 {
        time.observe(number, 7_000);
    }
    time.observe(5, 8_000);
    time.observe(60, 19_000);
    assert_eq!(time.measured_ms(), None);
    assert_eq!(time.ms(), BLOCK_MS_ASSUMED);
    time.observe(100, 27_000);
    assert_eq!(time.measured_ms(), Some(200));
}

/// A balancer hands out nodes that are behind each other, and blocks twice.
#[test]
fn nodes_behind_the_newest_and_repeated_heads_change_nothing() {
    let mut time = watched(200, 5_000, 120_000);
    let known = time.measured_ms();
    let head = 1_000_000 + 120_000 / 200;
    for behind in [0, 1, 40, 300] {
        time.observe(head - behind, (1_800_000_000 + 120) * 1_000 - behind * 200);
    }
    assert_eq!(time.measured_ms(), known);
}

#[test]
fn a_chain_that_starts_again_is_measured_anew() {
    let mut time = watched(200, 5_000, 120_000);
    // A development chain that was thrown away, with a slower one in its place.
    for at in 0..20 {
        time.observe(3 + at * 3, (1_800_000_200 + at * 6) * 1_000);
    }
    assert_eq!(time.measured_ms(), Some(2_000));
    // A clock that was set back.
    let mut time = watched(200, 5_000, 120_000);
    time.observe(2_000_000, 1_000_000);
    time.observe(2_000_100, 1_200_000);
    assert_eq!(time.measured_ms(), Some(2_000));
}

/// Base went from 2 s to 0.2 s on one evening.
#[test]
fn a_chain_that_becomes_faster_is_followed_within_minutes() {
    let mut time = BlockTime::default();
    let mut number = 0;
    let mut at_ms = 1_800_000_000_000;
    for _ in 0..600 {
        (number, at_ms) = (number + 1, at_ms + 2_000);
        time.observe(number, at_ms / 1_000 * 1_000);
    }
    assert_eq!(time.ms(), 2_000);
    for _ in 0..12 * 60 * 5 {
        (number, at_ms) = (number + 1, at_ms + 200);
        time.observe(number, at_ms / 1_000 * 1_000);
    }
    assert!((198..=202).contains(&time.ms()), "{}", time.ms());
}

#[test]
fn spans_become_blocks_rounded_up_and_never_none() {
    let time = watched(12_000, 5_000, 600_000);
    assert_eq!(time.ms(), 12_000);
    for (seconds, blocks) in [(0, 1), (1, 1), (12, 1), (13, 2), (120, 10), (u64::MAX, u64::MAX / 12_000 + 1)]
    {
        assert_eq!(time.blocks_in(seconds), blocks, "{seconds} s");
    }
    assert_eq!(time.seconds_of(3), 36);
    let fresh = BlockTime::default();
    assert_eq!((fresh.blocks_in(120), fresh.seconds_of(3)), (600, 1));
    assert_eq!(blocks_in(2, 0), 2_000, "no division by zero");
}
