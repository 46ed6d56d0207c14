//! What a gauge is set to.

pub(super) fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

pub(super) fn count(things: usize) -> f64 {
    u32::try_from(things).map_or(f64::INFINITY, f64::from)
}

#[expect(clippy::cast_precision_loss, reason = "a count of clients is far below 2^52")]
pub(super) fn large_count(things: u64) -> f64 {
    things as f64
}
