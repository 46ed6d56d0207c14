//! What glibc takes out of replies (glibc 2.36 with the fixes of its branch, `resolv/nss_dns/dns-host.c`): records in their
//! order, each CNAME in front of what it leads to, and nothing chased.

use std::net::IpAddr;

use super::status::{HostError, NssStatus};
use crate::libc::packet::{Header, TYPE_A, TYPE_AAAA, TYPE_CNAME, WireName, WireRecords};

/// What one address takes of the room for the result, and what its place is a multiple of.
const ADDRESS_ROOM: usize = 40;
const ALIGNMENT: usize = 8;

/// What was taken out of the replies of one lookup.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) addresses: Vec<IpAddr>,
    /// The name the first address was found at.
    pub(super) canonical: Option<String>,
    pub(super) status: NssStatus,
    pub(super) error: HostError,
    /// The addresses have no room: the library looks everything up again, with more.
    pub(super) is_out_of_room: bool,
    room: usize,
    used: usize,
}

/// Reads both replies, the one that came first in front. `room` is what the library has for the result.
pub(super) fn take(first: &[u8], second: &[u8], room: usize) -> Taken {
    let mut taken = Taken {
        addresses: Vec::new(),
        canonical: None,
        status: NssStatus::NotFound,
        error: HostError::Nothing,
        is_out_of_room: false,
        room,
        used: 0,
    };
    if !first.is_empty() {
        taken.status = taken.read(first);
    }
    if matches!(taken.status, NssStatus::Success | NssStatus::NotFound) && !second.is_empty() && !taken.is_out_of_room {
        let status = taken.read(second);
        if taken.status != NssStatus::Success && status != NssStatus::NotFound {
            taken.status = status;
        }
    }
    taken
}

impl Taken {
    fn read(&mut self, message: &[u8]) -> NssStatus {
        let before = self.addresses.len();
        let (status, error) = match self.read_records(message) {
            None => (NssStatus::Unavailable, HostError::NoRecovery),
            Some(()) if self.addresses.len() > before => (NssStatus::Success, HostError::Nothing),
            Some(()) => (NssStatus::NotFound, HostError::HostNotFound),
        };
        self.error = error;
        status
    }

    /// Takes the addresses; none where a record cannot be read, though what was taken before it stays.
    fn read_records(&mut self, message: &[u8]) -> Option<()> {
        let mut records = WireRecords::of(message)?;
        let mut expected = records.asked_name.clone();
        if !expected.is_host_name() {
            return Some(());
        }
        // A canonical name is kept with the first address of all.
        let mut canonical = Some(expected.clone()).filter(|_| self.canonical.is_none());
        let length = match records.asked_number {
            TYPE_A => 4,
            TYPE_AAAA => 16,
            _ => usize::MAX,
        };
        for _ in 0..Header(message).answers() {
            let record = records.next()?;
            if record.number == TYPE_CNAME {
                // Whose alias it is makes no difference.
                let (target, _) = WireName::unpack(message, record.data_at)?;
                if target.is_host_name() && canonical.is_some() {
                    canonical = Some(target.clone());
                }
                expected = target;
            } else if record.number == records.asked_number
                && record.owner.is_same(&expected)
                && record.data.len() == length
            {
                self.keep(record.data, canonical.take());
            }
        }
        Some(())
    }

    fn keep(&mut self, data: &[u8], canonical: Option<WireName>) {
        let address = match (<[u8; 4]>::try_from(data), <[u8; 16]>::try_from(data)) {
            (Ok(bytes), _) => IpAddr::from(bytes),
            (_, Ok(bytes)) => IpAddr::from(bytes),
            _ => return,
        };
        self.used = self.used.next_multiple_of(ALIGNMENT) + ADDRESS_ROOM;
        if let Some(name) = canonical {
            let text = name.to_text();
            // With the zero at its end; the root is a dot.
            self.used += text.len().max(1) + 1;
            self.canonical = Some(text);
        }
        self.is_out_of_room |= self.used > self.room;
        self.addresses.push(address);
    }
}
