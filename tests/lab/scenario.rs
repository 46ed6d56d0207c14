//! Scenarios as they are written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use cachewatch::model::FindingId;
use serde::Deserialize;
use toml::{Table, Value};

/// In place of a severity that the calendar decides.
pub(crate) const BY_DATE: u8 = 0;

/// One story: a world, and what must be said of it.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// The name of its file.
    pub(crate) name: String,
    pub(crate) world: World,
    /// What becomes of the world after a first round.
    pub(crate) then: Option<World>,
    pub(crate) expect: Expect,
    needs: Option<String>,
}

/// A scenario's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The story in a sentence, for whoever reads the file.
    #[serde(rename = "about")]
    _about: String,
    /// The world of `worlds/` that this one is like.
    world: String,
    /// What differs from it.
    #[serde(default)]
    with: Table,
    /// What changes after a first round, if anything does.
    then: Option<Table>,
    expect: Expect,
    /// An id that the program must know for this scenario to make sense.
    needs: Option<String>,
}

/// What must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// Every finding with its severity, in order; the first is the cause. Empty for a healthy world, where advice
    /// (severity 4) may be given and nothing else.
    pub(crate) findings: Vec<(String, u8)>,
    /// The same for the first round, where the world changes after it.
    #[serde(default)]
    pub(crate) before: Vec<(String, u8)>,
    /// The exit code of `cachewatch check`; absent where the world changes, because a check is one round, and where the
    /// calendar decides.
    pub(crate) exit: Option<i32>,
    /// What the cause could be taken for, and is not.
    #[serde(default)]
    pub(crate) not: Vec<String>,
    /// Words of the first finding's remedy: the command that helps.
    #[serde(default)]
    pub(crate) remedy: Vec<String>,
    /// Words of the first finding's summary or evidence.
    #[serde(default)]
    pub(crate) evidence: Vec<String>,
}

/// A machine and what it can reach.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct World {
    /// Addresses that exist, beyond those that a server listens on.
    pub(crate) addresses: Vec<IpAddr>,
    /// What drops and refuses packets, in nftables' words.
    pub(crate) filter: String,
    /// Kernel settings of the namespace.
    pub(crate) sysctl: BTreeMap<String, String>,
    pub(crate) hosts: String,
    pub(crate) resolv_conf: String,
    /// The DNS that the internet sees, by zone.
    pub(crate) public: BTreeMap<String, Zone>,
    /// Private zones, which a resolver sees where they are linked to its network.
    pub(crate) private: BTreeMap<String, Zone>,
    pub(crate) resolvers: BTreeMap<String, Resolver>,
    pub(crate) servers: BTreeMap<String, Server>,
    /// Connections that this machine holds open, before the cache is checked.
    pub(crate) connections: Vec<Connections>,
    /// Files of the machine, by name. `{files}` in a configuration is where they are; `ca.pem` is always there.
    pub(crate) files: BTreeMap<String, String>,
    /// The configuration but for its caches.
    pub(crate) settings: Table,
    /// The caches, by name.
    pub(crate) caches: BTreeMap<String, Table>,
}

/// Records by owner, relative to the zone, in the words of a zone file: `"10 A 10.20.1.4"`.
pub(crate) type Zone = BTreeMap<String, Vec<String>>;

/// A recursive name server (unbound).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolver {
    pub(crate) address: IpAddr,
    /// The private zones that are linked to the network it serves.
    #[serde(default)]
    pub(crate) links: Vec<String>,
    /// Whom it asks in place of the root, by zone; `.` is everything.
    #[serde(default)]
    pub(crate) forwards: BTreeMap<String, Vec<IpAddr>>,
    /// Further lines of its `server:` clause.
    #[serde(default)]
    pub(crate) options: Vec<String>,
}

/// Something that listens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Server {
    Redis(Redis),
    /// `openssl s_server`, for TLS as nobody should speak it any more.
    Openssl {
        at: SocketAddr,
        certificate: Certificate,
        arguments: Vec<String>,
    },
    /// A peer that walks through steps, for what no real server can be brought to.
    Scripted {
        at: Vec<SocketAddr>,
        certificate: Option<Certificate>,
        steps: Vec<Step>,
    },
}

/// A real redis-server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redis {
    /// All on one port; TLS where there is a certificate.
    pub(crate) at: Vec<SocketAddr>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) password: Option<String>,
    /// Lines of redis.conf.
    #[serde(default)]
    pub(crate) directives: Vec<String>,
    /// Commands run once it serves.
    #[serde(default)]
    pub(crate) commands: Vec<Vec<String>>,
    /// A command that keeps it busy, and how it answers PING from then on.
    pub(crate) occupied: Option<Occupied>,
    /// Clients that are connected and stay.
    #[serde(default)]
    pub(crate) clients: usize,
    /// The process is stopped: the kernel still accepts, nothing answers.
    #[serde(default)]
    pub(crate) frozen: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Occupied {
    pub(crate) by: Vec<String>,
    pub(crate) until_ping_says: String,
}

/// What a server shows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    pub(crate) names: Vec<String>,
    #[serde(default)]
    pub(crate) validity: Validity,
    #[serde(default)]
    pub(crate) issuer: Issuer,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Validity {
    #[default]
    Year,
    Expired,
    NotYet,
    DaysLeft(u64),
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Issuer {
    /// The authority that `ca.pem` holds.
    #[default]
    Trusted,
    /// Another authority.
    Foreign,
    /// Itself.
    Nobody,
}

/// One step of a scripted peer; after the last it hangs up.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// Waits until it is spoken to, and takes all that has come by then.
    Hear,
    /// Waits for one command of Redis, and leaves what came behind it to the next step.
    Command,
    Say(String),
    /// A TLS alert by its number, in the clear.
    Alert(u8),
    /// One letter at a time, this many milliseconds apart.
    Drip(String, u64),
    /// Listens and never answers.
    Hold,
    Reset,
    /// A small, healthy Redis but for these replies; INFO is given as its text.
    Serve(BTreeMap<String, String>),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Connections {
    pub(crate) to: SocketAddr,
    pub(crate) count: usize,
    /// They are more than the server takes, and gone again before the cache is checked.
    #[serde(default)]
    pub(crate) passing: bool,
}

/// Every scenario, by name.
///
/// # Panics
///
/// On a file that is not a scenario, with the line.
pub(crate) fn all() -> Vec<Scenario> {
    let worlds: BTreeMap<_, _> = files("worlds").into_iter().map(|path| (stem(&path), table(&path))).collect();
    let mut scenarios: Vec<_> = files("scenarios").iter().map(|path| read(path, &worlds)).collect();
    scenarios.sort_by_key(|scenario| (scenario.order(), scenario.name.clone()));
    scenarios
}

fn read(path: &Path, worlds: &BTreeMap<String, Table>) -> Scenario {
    let fail = |error: &dyn std::fmt::Display| -> ! { panic!("{}: {error}", path.display()) };
    let written: Written = table(path).try_into().unwrap_or_else(|error| fail(&error));
    let like = worlds.get(&written.world).unwrap_or_else(|| fail(&format!("no world {}", written.world)));
    let world = overlaid(like, &written.with);
    let checked = |table: Table| table.try_into().unwrap_or_else(|error| fail(&error));
    Scenario {
        name: stem(path),
        then: written.then.map(|change| checked(overlaid(&world, &change))),
        world: checked(world),
        expect: written.expect,
        needs: written.needs,
    }
}

/// The table with what `change` says in its place. A table that names its `kind`, or nothing at all, comes whole.
pub(crate) fn overlaid(table: &Table, change: &Table) -> Table {
    let mut overlaid = table.clone();
    for (key, value) in change {
        let value = match (overlaid.get(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if !above.is_empty() && !above.contains_key("kind") => {
                self::overlaid(below, above).into()
            }
            _ => value.clone(),
        };
        overlaid.insert(key.clone(), value);
    }
    overlaid
}

impl Scenario {
    pub(crate) fn is_healthy(&self) -> bool {
        self.expect.findings.is_empty()
    }

    /// The id of the cause; `None` for a healthy world, and for an id that the program does not know.
    pub(crate) fn cause(&self) -> Option<FindingId> {
        FindingId::parse(&self.expect.findings.first()?.0)
    }

    /// Causes alone come first, in the order of the catalogue, then causes together, then the healthy worlds.
    fn order(&self) -> (bool, bool, Option<FindingId>) {
        (self.is_healthy(), self.name.starts_with("pair-"), self.cause())
    }

    /// The ids it speaks of that the program does not know.
    pub(crate) fn unknown_ids(&self) -> Vec<String> {
        let expected = self.expect.findings.iter().chain(&self.expect.before).map(|(id, _)| id).chain(&self.expect.not);
        let complain = |id: &String| format!("{}: this cachewatch knows no finding {id}", self.name);
        let unknown = expected.filter(|id| FindingId::parse(id).is_none()).map(complain);
        let needs = self.needs.iter().filter(|id| FindingId::parse(id).is_none());
        unknown
            .chain(needs.map(|id| format!("{}: needs {id}, which this cachewatch does not know", self.name)))
            .collect()
    }
}

/// What is wrong with the scenarios as a whole: each id that the program can name is the cause of one, or
/// `without-scenario.toml` says why it cannot be.
pub(crate) fn complaints<'all>(all: impl Iterator<Item = &'all Scenario> + Clone) -> Vec<String> {
    let path = home().join("without-scenario.toml");
    let excused: BTreeMap<String, String> =
        table(&path).try_into().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let causes: BTreeSet<_> = all.clone().filter_map(Scenario::cause).map(FindingId::as_str).collect();
    let mut complaints: Vec<_> = all.flat_map(Scenario::unknown_ids).collect();
    for id in FindingId::ALL.iter().map(|id| id.as_str()) {
        match (causes.contains(id), excused.contains_key(id)) {
            (false, false) => complaints.push(format!("{id}: no scenario, and no reason in without-scenario.toml")),
            (true, true) => complaints.push(format!("{id}: has a scenario; take it out of without-scenario.toml")),
            _ => {}
        }
    }
    let strangers = excused.keys().filter(|id| FindingId::parse(id).is_none());
    complaints.extend(strangers.map(|id| format!("{id} in without-scenario.toml: no such finding")));
    complaints
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab")
}

pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = home().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

pub(crate) fn table(path: &Path) -> Table {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
