//! Files of a crate that import from each other in a circle: a file in a circle can only be
//! understood together with all the others. Those of today are written down and may only
//! become fewer.

use std::collections::BTreeMap;

use crate::files::{hold, packages, read};
use crate::imports::Imports;

const LIST: &str = "crates/checks/circles.txt";
const HEAD: &str = "\
# Files that import from each other in a circle, one circle a line. Made from the code with
#   QUITTANCE_WRITE=1 cargo test -p quittance-checks circles
# which refuses to write more files than stood here before. A parent and its child are no circle.
";

fn today() -> String {
    let mut text = HEAD.to_owned();
    for folder in packages() {
        for circle in Imports::of(&folder).circles() {
            let files: Vec<_> = circle.into_iter().collect();
            text.push_str(&format!("{}: {}\n", folder.trim_start_matches("crates/"), files.join(" ")));
        }
    }
    text
}

fn count(list: &str) -> usize {
    list.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(' ').count() - 1).sum()
}

#[test]
fn circles_of_imports_only_shrink() {
    let (before, now) = (read(LIST), today());
    assert!(
        count(&now) <= count(&before),
        "{} files import from each other in a circle, {} did before; now:\n{now}\nThe newest import closes it: \
         move what is shared into a file below both.",
        count(&now),
        count(&before),
    );
    hold(
        LIST,
        &now,
        "A circle that is new: break it. Circles that are gone or whose files have moved: write the list anew \
         with QUITTANCE_WRITE=1 cargo test -p quittance-checks circles",
    );
}

/// What the list is made from, where a circle has to be understood: `cargo test -p quittance-checks
/// print_arrows -- --ignored --nocapture`.
#[test]
#[ignore = "prints, checks nothing"]
#[allow(clippy::print_stdout)]
fn print_arrows() {
    for folder in packages() {
        let arrows: BTreeMap<_, _> = Imports::of(&folder).arrows();
        for (from, to) in arrows.into_iter().filter(|(_, to)| !to.is_empty()) {
            println!("{folder} {from} -> {}", to.into_iter().collect::<Vec<_>>().join(" "));
        }
    }
}
