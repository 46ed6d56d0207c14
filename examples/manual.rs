//! Manual pages, shell completions and `docs/cli.md`, made from the command line's own definition, so that none can be out of
//! date.
//!
//! `cargo run --example manual -- DIRECTORY` writes pages and completions into `DIRECTORY`, where the Debian package takes them
//! from; `cargo run --example manual -- --markdown > docs/cli.md` prints the document.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;

/// How the document begins.
const HEAD: &str = "# Command line

<!-- Made by `cargo run --example manual -- --markdown > docs/cli.md`; a test holds that it is current. -->

What `--help` prints, command by command.
";

/// The columns of a help text in the document.
const WIDTH: usize = 100;

fn main() -> io::Result<()> {
    let argument = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("say which directory to write into"))?;
    if argument == "--markdown" {
        io::stdout().write_all(document().as_bytes())
    } else {
        write(&PathBuf::from(argument))
    }
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

/// `docs/cli.md`: the help text of the program and of each command.
pub(crate) fn document() -> String {
    let mut command = plain(cachewatch::cli::command());
    command.build();
    let mut parts = vec![HEAD.to_owned()];
    describe(&mut command, &mut parts);
    parts.join("\n")
}

/// The command with the width of the document, and without what the environment holds here.
fn plain(command: Command) -> Command {
    command.term_width(WIDTH).mut_args(|argument| argument.hide_env_values(true)).mut_subcommands(plain)
}

fn describe(command: &mut Command, parts: &mut Vec<String>) {
    let name = command.get_bin_name().unwrap_or("cachewatch").to_owned();
    let help = command.render_help().to_string();
    let lines: Vec<_> = help.lines().map(str::trim_end).collect();
    parts.push(format!("## {name}\n\n```\n{}\n```\n", lines.join("\n").trim()));
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        describe(inner, parts);
    }
}
