//! What is known of Azure: pure tables and functions, each with its source.
//!
//! A fact that no first-party source confirms is left out, so that nothing here is a guess told as a fact.

mod endpoint;
mod tier;

pub use endpoint::{Cloud, Endpoint, Product, identify, suffixes};
pub use tier::{Tier, nearest_tiers, tier};
