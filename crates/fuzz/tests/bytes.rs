//! Every reader of what strangers send, for a bounded number of inputs. One test, because what
//! is allocated is counted for the whole process.

use peak_alloc::PeakAlloc;
use quittance_fuzz::bytes::{Meter, Target, read};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Inputs for each reader.
const INPUTS: u64 = 6_000;

struct Counted;

impl Meter for Counted {
    fn begin(&self) -> usize {
        ALLOCATED.reset_peak_usage();
        ALLOCATED.current_usage()
    }

    fn peak(&self) -> usize {
        ALLOCATED.peak_usage()
    }
}

#[test]
#[allow(clippy::print_stdout, reason = "figures")]
fn no_reader_panics_or_allocates_beyond_its_bound() {
    // What it counts is there.
    let before = Counted.begin();
    let kept = vec![1_u8; 1 << 20];
    assert!(Counted.peak() - before >= kept.len());
    for target in Target::ALL {
        let found = read(*target, 1, INPUTS, &Counted, &|| false);
        println!("{:<12} {found:?}", target.name());
        assert_eq!(found.fault, None, "{}", target.name());
        assert!(found.ends > 3, "{}: all came to {} ends", target.name(), found.ends);
    }
}
