//! The cost of a probe.

fn main() {}
