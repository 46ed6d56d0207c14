//! How a service of nsswitch.conf says what became of a name.

/// What a service did with the name (`enum nss_status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NssStatus {
    TryAgain,
    Unavailable,
    NotFound,
    Success,
}

/// Why a name was not found (`h_errno`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostError {
    /// None was said yet.
    Nothing,
    HostNotFound,
    TryAgain,
    NoRecovery,
    NoData,
    Internal,
}
