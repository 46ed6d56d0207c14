//! Worlds written by hand, `cases/*.toml`.

use std::fs;
use std::path::Path;

use cachewatch::libc::musl::MuslVersion;

use crate::model::{Modelled, musl_version};
use crate::world::World;
use crate::{Library, Outcome};

/// Every case, with its name.
pub(crate) fn all() -> Vec<(String, World)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agree/cases");
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of the cases")
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a readable file");
            let mut world: World = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            "case".clone_into(&mut world.kind);
            (path.file_stem().expect("a file has a name").to_string_lossy().into_owned(), world)
        })
        .collect();
    cases.sort_by(|one, other| one.0.cmp(&other.0));
    cases
}

/// Where the model does not say what the case expects.
pub(crate) fn complaint(name: &str, library: Library, world: &World, modelled: &Modelled) -> Option<String> {
    let expected = match library {
        Library::Glibc => world.expect.glibc.as_ref(),
        Library::Musl if musl_version() == MuslVersion::V1_2_3 => world.expect.musl.as_ref(),
        Library::Musl => None,
    };
    let expected = expected?;
    let said = told(&modelled.outcome, modelled.took.as_millis());
    (said != *expected).then(|| format!("{name}: the model of {} says {said:?}, not {expected:?}", library.word()))
}

/// An outcome as a case writes it.
pub(crate) fn told(outcome: &Outcome, milliseconds: u128) -> String {
    format!("{outcome}, {milliseconds}")
}
