//! A measurement that was repeated.

/// The middle of many values and of their halves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// A quarter of the values lies below.
    pub(crate) low: f64,
    /// A quarter of the values lies above.
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
        Self { median: at(2), low: at(1), high: at(3) }
    }
}
