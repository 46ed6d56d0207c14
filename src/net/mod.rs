//! What every room needs that speaks over the network: deadlines, limits on what a peer may cost, certificates and the
//! roots that are trusted. It knows no cache and no daemon.

pub(crate) mod certificate;
pub(crate) mod deadline;
pub(crate) mod limited;
pub(crate) mod trust;
