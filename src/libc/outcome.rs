//! What an application gets from a library.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::model::{RecordType, vocabulary};

/// What `getaddrinfo(name, NULL, {AF_UNSPEC, SOCK_STREAM})` returns, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Addresses or a failure.
    pub returned: Returned,
    /// From the call to its return. Only waiting counts: the library's own work takes no time.
    pub took: Duration,
    /// Where it waited, in order.
    pub waits: Vec<Wait>,
    /// What took part and no model knows: services of nsswitch.conf, and memory that a library reads and nothing wrote. The
    /// lookup is what comes where they are not there.
    pub unmodelled: Vec<String>,
}

/// Addresses, or why there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returned {
    /// Addresses, at least one, in the order of the answers: the library sorts them afterwards by the machine's routes,
    /// which no model knows.
    Found {
        /// The addresses, each once.
        addresses: Vec<IpAddr>,
        /// The name they were found at, where it is not the name asked for: the search list or aliases led there.
        canonical: Option<String>,
    },
    /// No address.
    Failed(GaiError),
    /// It does not return: a connection to a name server stays without an answer, and the library has no limit for that.
    /// What it took is the time until then.
    Hangs,
}

vocabulary! {
    /// The failures that an application can tell apart, by the value `getaddrinfo` returns.
    pub enum GaiError {
        /// `EAI_NONAME`: the name is not known.
        NoName = "name_not_known",
        /// `EAI_NODATA`: the name exists and has no address.
        NoData = "no_address",
        /// `EAI_AGAIN`: try again.
        Again = "try_again",
        /// `EAI_FAIL`: a failure that lasts.
        Fail = "failed",
        /// `EAI_SYSTEM` and whatever else.
        System = "system_error",
    }
}

/// One question on the way, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The server asked.
    pub server: SocketAddr,
    /// The name asked for.
    pub name: String,
    /// The type asked for; `None` where both types are waited for together.
    pub record_type: Option<RecordType>,
    /// How long the library waited here before it went on.
    pub waited: Duration,
    /// What ended the wait, in a few words for a person.
    pub ended: String,
}
