//! What is seen of this machine itself.

use serde::Serialize;

/// A kernel setting as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sysctl {
    /// Its name under `net.ipv4`.
    pub name: &'static str,
    /// Its value.
    pub value: u64,
}
