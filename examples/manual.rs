//! Manual pages and shell completions, made from the command line's own definition, so that none can be out of date.
//!
//! `cargo run --example manual -- DIRECTORY` writes them into `DIRECTORY`, where the Debian package takes them from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap_complete::Shell;

fn main() -> io::Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    write(&directory.ok_or_else(|| io::Error::other("say which directory to write into"))?)
}

/// Writes a page for the program and one for each command, and the completions of three shells.
pub(crate) fn write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut command = cachewatch::cli::command();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "cachewatch", directory)?;
    }
    clap_mangen::generate_to(command, directory)
}
