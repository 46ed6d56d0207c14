//! In what the versions of musl differ.

use super::super::GaiError;

/// The most addresses of one lookup (`src/network/lookup.h`, `MAXADDRS`).
pub(super) const MOST_ADDRESSES: usize = 48;

/// A version of musl, as far as they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MuslVersion {
    /// 1.2.3, of Alpine 3.17 and Debian 12, and those before it: no TCP, and a name without an address is not known.
    V1_2_3,
    /// 1.2.4, of Alpine 3.18 and 3.19: TCP, and `EAI_NODATA`.
    V1_2_4,
    /// 1.2.5, of Alpine 3.20: longer answers.
    V1_2_5,
}

impl MuslVersion {
    /// Whether a truncated answer is asked for again over TCP.
    pub(super) fn has_tcp(self) -> bool {
        self > Self::V1_2_3
    }

    /// Bytes of one answer; more are cut off.
    pub(super) fn room(self) -> usize {
        match self {
            Self::V1_2_3 => 512,
            Self::V1_2_4 => 768,
            Self::V1_2_5 => 4800,
        }
    }

    /// What a name without an address is.
    pub(super) fn no_data(self) -> GaiError {
        if self == Self::V1_2_3 { GaiError::NoName } else { GaiError::NoData }
    }
}
