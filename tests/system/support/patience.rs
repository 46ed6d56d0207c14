//! The one limit of everything that the tests wait for.

use std::time::Duration;

/// How long anything that should happen soon may take on a busy machine, before it counts as never.
///
/// It is far longer than a busy machine needs, for it is waited out only by a test that fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
