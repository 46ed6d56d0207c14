//! What metrics and threads call the sinks.

use crate::model::vocabulary;

vocabulary! {
    /// A sink that can fail, and tells how often.
    pub enum SinkName {
        /// What happened, in a file.
        Journal = "journal",
        /// What happens, on standard error.
        Log = "log",
    }
}
