//! Tables for people: the first column to the left, numbers to the right.

use quittance_protocol::Amount;

/// Denominator of basis points.
const ONE_BPS: u128 = 10_000;

/// Rows under their titles, each line indented by two spaces.
pub(crate) fn table<const N: usize>(
    titles: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut lines = vec![titles.map(str::to_owned)];
    lines.extend(rows);
    let widths: [usize; N] = std::array::from_fn(|column| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> = line
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        text.push_str(&format!("  {}\n", padded.join("  ")));
    }
    text
}

/// Atomic USDC with a sign.
pub(crate) fn signed(atomic: i128) -> String {
    let sign = if atomic < 0 { "-" } else { "" };
    format!("{sign}{}", Amount::new(u64::try_from(atomic.unsigned_abs()).unwrap_or(u64::MAX)).to_usdc())
}

/// Smallest units as whole coins.
pub(crate) fn coins(native: &str, decimals: u64) -> String {
    let places = usize::try_from(decimals).unwrap_or(0);
    let padded = format!("{native:0>width$}", width = places.saturating_add(1));
    let (whole, rest) = padded.split_at(padded.len().saturating_sub(places));
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { whole.to_owned() } else { format!("{whole}.{rest}") }
}

/// Basis points as a decimal: 12,500 as `1.25`.
pub(crate) fn decimal(bps: u128) -> String {
    let text = format!("{}.{:04}", bps / ONE_BPS, bps % ONE_BPS);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Basis points as a percentage: 7,950 as `79.50 %`.
pub(crate) fn percent(bps: u64) -> String {
    format!("{}.{:02} %", bps / 100, bps % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let text = table(["name", "n"], [row("a", "1"), row("longer – one", "12345")]);
        assert_eq!(text, "  name              n\n  a                 1\n  longer – one  12345\n");
    }

    #[test]
    fn numbers_are_exact() {
        assert_eq!(signed(-750), "-0.000750");
        assert_eq!(signed(1_000_000), "1.000000");
        assert_eq!((decimal(12_500), decimal(10_000)), ("1.25".to_owned(), "1".to_owned()));
        assert_eq!(percent(7_905), "79.05 %");
    }
}
