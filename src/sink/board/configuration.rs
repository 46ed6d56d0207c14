//! Which configuration the board was filled from.

use crate::model::{Refusal, Timestamp};

/// Which configuration is in use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// How many configurations have been taken into use; 0 before the first.
    pub generation: u64,
    /// When the one in use was read.
    pub read_at: Option<Timestamp>,
    /// The newer one that was last refused; `None` once one is accepted again.
    pub refused: Option<Refusal>,
}
