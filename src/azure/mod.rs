//! What is known of Azure: pure tables and functions, each with its source.
//!
//! A fact that no first-party source confirms is left out, so that nothing here is a guess told as a fact.

mod authority;
mod endpoint;
mod machine;
mod retirement;
mod tier;

pub use authority::is_azure_authority;
pub use endpoint::{Cloud, Endpoint, Product, identify, nearest_suffix};
pub use machine::{TCP_SETTINGS, TcpSetting};
pub use retirement::retirement;
pub use tier::{Tier, nearest_tiers, tier};
