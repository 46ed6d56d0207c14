//! The services that look for a host, and what ends the search among them (glibc 2.36, `nss/nss_database.c` and
//! `nss/nss_action_parse.c`).

use super::c_text::{c_lines, is_space, skip, until};
use super::status::NssStatus;

/// The databases that have a line. A line of any of them that cannot be read spoils the file for all.
const DATABASES: [&[u8]; 17] = [
    b"aliases",
    b"ethers",
    b"group",
    b"group_compat",
    b"gshadow",
    b"hosts",
    b"initgroups",
    b"netgroup",
    b"networks",
    b"passwd",
    b"passwd_compat",
    b"protocols",
    b"publickey",
    b"rpc",
    b"services",
    b"shadow",
    b"shadow_compat",
];

/// What is done after a service has said its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NssAction {
    Continue,
    Return,
    Merge,
}

/// A service with its actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NssService {
    /// Its name, as it stands in the file. A comment at the end of the line is read as services, too.
    pub(super) name: String,
    actions: [NssAction; 4],
}

impl NssService {
    fn new(name: &[u8]) -> Self {
        let mut service = Self { name: String::from_utf8_lossy(name).into_owned(), actions: [NssAction::Continue; 4] };
        *service.action_mut(NssStatus::Success) = NssAction::Return;
        service
    }

    /// What follows this status.
    pub(super) fn action(&self, status: NssStatus) -> NssAction {
        self.actions[status as usize]
    }

    fn action_mut(&mut self, status: NssStatus) -> &mut NssAction {
        &mut self.actions[status as usize]
    }
}

/// The services for `hosts`; none where the file cannot be read, which ends every lookup.
pub(super) fn host_services(nsswitch: Option<&[u8]>) -> Option<Vec<NssService>> {
    let mut services = None;
    for line in c_lines(nsswitch.unwrap_or_default()) {
        // The end of the file is seen before the line in front of it is read.
        if !line.is_ended {
            break;
        }
        let text = skip(line.text, is_space);
        let (database, rest) = until(text, |byte| is_space(byte) || byte == b':');
        // A line that ends with the name of the database is passed over; where its newline is seen, it does not end so.
        if database.is_empty() || (rest.is_empty() && !line.shows_end) || !DATABASES.contains(&database) {
            continue;
        }
        let read = parse_services(skip(rest, |byte| is_space(byte) || byte == b':'))?;
        if database == b"hosts" {
            services = Some(read);
        }
    }
    Some(services.unwrap_or_else(|| vec![NssService::new(b"files"), NssService::new(b"dns")]))
}

/// The services of one line; none where it cannot be read.
fn parse_services(line: &[u8]) -> Option<Vec<NssService>> {
    let mut services = Vec::new();
    let mut rest = skip(line, is_space);
    loop {
        let (name, after) = until(rest, |byte| is_space(byte) || byte == b'[');
        // What begins with a bracket ends the line, read or not.
        if name.is_empty() {
            return Some(services);
        }
        let mut service = NssService::new(name);
        rest = skip(after, is_space);
        if let Some(criteria) = rest.strip_prefix(b"[") {
            rest = skip(parse_criteria(&mut service, skip(criteria, is_space))?, is_space);
        }
        services.push(service);
    }
}

/// `NOTFOUND=return !UNAVAIL=continue]`: sets the actions, and gives what stands behind the bracket.
fn parse_criteria<'a>(service: &mut NssService, criteria: &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = criteria;
    loop {
        let (is_negated, word) = rest.strip_prefix(b"!").map_or((false, rest), |word| (true, word));
        let (word, after) = until(word, |byte| is_space(byte) || matches!(byte, b'=' | b']'));
        let status = match word.to_ascii_uppercase().as_slice() {
            b"SUCCESS" => NssStatus::Success,
            b"UNAVAIL" => NssStatus::Unavailable,
            b"NOTFOUND" => NssStatus::NotFound,
            b"TRYAGAIN" => NssStatus::TryAgain,
            _ => return None,
        };
        let word = skip(skip(after, is_space).strip_prefix(b"=")?, is_space);
        let (word, after) = until(word, |byte| is_space(byte) || matches!(byte, b'=' | b']'));
        let action = match word.to_ascii_uppercase().as_slice() {
            b"RETURN" => NssAction::Return,
            b"CONTINUE" => NssAction::Continue,
            b"MERGE" => NssAction::Merge,
            _ => return None,
        };
        if is_negated {
            let kept = service.action(status);
            service.actions = [action; 4];
            *service.action_mut(status) = kept;
        } else {
            *service.action_mut(status) = action;
        }
        rest = skip(after, is_space);
        if let Some(behind) = rest.strip_prefix(b"]") {
            return Some(behind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each service, with the actions that differ from the usual ones.
    fn read(nsswitch: &str) -> Option<Vec<String>> {
        let services = host_services(Some(nsswitch.as_bytes()))?;
        let told = services.iter().map(|service| {
            let usual = NssService::new(service.name.as_bytes());
            let all = [NssStatus::Success, NssStatus::NotFound, NssStatus::Unavailable, NssStatus::TryAgain];
            let other = all.iter().filter(|status| service.action(**status) != usual.action(**status));
            let words = other.map(|status| format!("{status:?}={:?}", service.action(*status)));
            std::iter::once(service.name.clone()).chain(words).collect::<Vec<_>>().join(" ")
        });
        Some(told.collect())
    }

    #[test]
    fn the_line_of_hosts_is_read() {
        for (file, expected) in [
            ("hosts: files dns\n", vec!["files", "dns"]),
            ("  hosts\tdns files\n", vec!["dns", "files"]),
            ("hosts: files\nhosts: dns\n", vec!["dns"]),
            ("hosts: files [NOTFOUND=return] dns\n", vec!["files NotFound=Return", "dns"]),
            ("hosts: a [!UNAVAIL=return]b\n", vec!["a NotFound=Return TryAgain=Return", "b"]),
            ("hosts: a [ success=CONTINUE  tryagain = return ] b\n", vec!["a Success=Continue TryAgain=Return", "b"]),
            ("hosts: a [SUCCESS=merge] b\n", vec!["a Success=Merge", "b"]),
            ("hosts: a [NOTFOUND=return] [UNAVAIL=return] b\n", vec!["a NotFound=Return"]),
            ("hosts: files dns # and no more\n", vec!["files", "dns", "#", "and", "no", "more"]),
            ("hosts:\n", vec![]),
        ] {
            assert_eq!(read(file), Some(expected.into_iter().map(str::to_owned).collect()), "{file}");
        }
    }

    #[test]
    fn without_a_line_it_is_files_and_dns() {
        for file in ["", "# hosts: dns\n", "passwd: files\n", "hostz: dns\n", "hosts: dns"] {
            assert_eq!(read(file).unwrap(), ["files", "dns"], "{file}");
        }
        assert_eq!(host_services(None).unwrap().len(), 2);
    }

    #[test]
    fn one_bad_line_spoils_the_file() {
        for file in [
            "hosts: files [FOUND=return] dns\n",
            "hosts: files [NOTFOUND=stop] dns\n",
            "hosts: files [NOTFOUND return] dns\n",
            "hosts: files [NOTFOUND=return\n",
            "hosts: files []\n",
            "passwd: files [X=y]\nhosts: files dns\n",
        ] {
            assert_eq!(read(file), None, "{file}");
        }
        assert_eq!(read("sudoers: files [X=y]\n").unwrap(), ["files", "dns"], "not a database of glibc");
    }
}
