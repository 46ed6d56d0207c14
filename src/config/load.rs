//! From files, environment and command line to a configuration.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::build;
use super::checker::Checker;
use super::defaults::defaults;
use super::environment;
use super::keys;
use super::layers::Effective;
use super::problem::{Diagnostic, Origin, Problem, Problems};
use super::settings::Config;
use super::sources::ParsedSources;
use super::strict;
use super::target::Target;
use crate::file;

/// The directory beside a configuration file whose `*.toml` files follow it, in the order of their names.
const DIRECTORY: &str = "conf.d";

/// All that a configuration is made from.
#[derive(Clone, PartialEq, Default)]
pub struct Inputs {
    /// The files, the weakest first.
    pub files: Vec<PathBuf>,
    /// Environment variables; those that do not begin with `CACHEWATCH__` are ignored.
    pub environment: Vec<(String, String)>,
    /// Bare hosts, watched beside the caches of the files.
    pub targets: Vec<Target>,
    /// `--web.config.file`: the strongest word on `server.web_config_file`.
    pub web_config_file: Option<PathBuf>,
}

impl Inputs {
    /// These files and hosts, with the environment of this process.
    #[must_use]
    pub fn new(files: Vec<PathBuf>, targets: Vec<Target>) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(environment::PREFIX))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        Self { files, environment, targets, web_config_file: None }
    }
}

/// Shows the names of the variables only: one of them may be a password.
impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Inputs")
            .field("files", &self.files)
            .field("environment", &names)
            .field("targets", &self.targets)
            .field("web_config_file", &self.web_config_file)
            .finish()
    }
}

/// Reads and checks everything. Without files and targets the result has no caches, which is no error here.
///
/// # Errors
/// Every problem of every source: unknown keys, values of the wrong kind, values that contradict each other, files that
/// cannot be read. Where a file is no TOML at all, what depends on several sources is not judged until it is.
pub fn load(inputs: &Inputs) -> Result<Config, Problems> {
    let mut sources = ParsedSources::default();
    let mut order = Vec::new();
    let mut files = Vec::new();
    for (index, file) in inputs.files.iter().enumerate() {
        if inputs.files[..index].contains(file) {
            continue;
        }
        read_file(&mut sources, file);
        order.push(file.clone());
        files.push(file.clone());
        let directory = directory_of(file);
        if inputs.files[index + 1..].iter().any(|later| directory_of(later) == directory) {
            continue;
        }
        order.push(directory.clone());
        for part in parts(&mut sources, &directory) {
            read_file(&mut sources, &part);
            order.push(part);
        }
        files.push(directory);
    }
    environment::read(&mut sources, &inputs.environment);
    if let Some(file) = &inputs.web_config_file {
        sources.say("--web.config.file", keys::SERVER_WEB_CONFIG_FILE, &file.to_string_lossy());
    }

    let config = if sources.is_partial { None } else { finish(&mut sources, inputs, files) };
    match config {
        Some(config) if sources.problems.is_empty() => Ok(config),
        _ => {
            sources.problems.sort_by_key(|problem| rank(problem, &order));
            Err(Problems::new(sources.problems))
        }
    }
}

fn finish(sources: &mut ParsedSources, inputs: &Inputs, files: Vec<PathBuf>) -> Option<Config> {
    let mut layers = vec![defaults(&sources.items)];
    layers.append(&mut sources.layers);
    match Effective::merge(layers) {
        Ok(effective) => Some(build::config(Checker::new(&effective, sources), files, &inputs.targets)),
        Err(error) => {
            sources.report(&Origin::Default, "", Diagnostic::new(error.to_string()));
            None
        }
    }
}

fn read_file(sources: &mut ParsedSources, path: &Path) {
    let text = file::read(path).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
    });
    match text {
        Ok(text) => strict::read(sources, path, &text),
        Err(error) => unreadable(sources, path, &error),
    }
}

/// The files of a `conf.d`, sorted; none where there is no such directory.
fn parts(sources: &mut ParsedSources, directory: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
    match listed {
        Ok(mut paths) => {
            paths.retain(|path| is_part(path));
            paths.sort();
            paths
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            unreadable(sources, directory, &error);
            Vec::new()
        }
    }
}

/// Hidden files are left alone: an editor's copies, and the bookkeeping of a mounted `ConfigMap`.
fn is_part(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.extension().is_some_and(|extension| extension == "toml")
}

fn unreadable(sources: &mut ParsedSources, path: &Path, error: &io::Error) {
    sources.is_partial = true;
    let origin = Origin::File { path: path.to_owned(), line: None };
    sources.report(&origin, "", Diagnostic::new(format!("cannot be read: {error}")));
}

fn directory_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(DIRECTORY)
}

/// Problems are read in the order of the layers, and of the lines within a file.
fn rank(problem: &Problem, order: &[PathBuf]) -> (usize, usize) {
    match &problem.origin {
        Origin::Default => (0, 0),
        Origin::File { path, line } => {
            (1 + order.iter().position(|file| file == path).unwrap_or(order.len()), line.unwrap_or(0))
        }
        Origin::Environment(_) => (order.len() + 2, 0),
        Origin::Target(_) | Origin::Option(_) => (order.len() + 3, 0),
    }
}
