//! `cachewatch explain`: what a finding means.

mod print;

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::terminal::{Exit, style, write_out};
use crate::config::Target;
use crate::judge::{self, Commands};
use crate::model::FindingId;

/// Examples for its help.
pub(crate) const EXAMPLES: &str = "Examples:
  cachewatch explain dns-zone-not-linked
  cachewatch explain dns-zone-not-linked --host orders.redis.cache.windows.net
  cachewatch explain
  cachewatch explain --format markdown > docs/findings.md";

/// What to explain, and how to print it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Id of a finding, such as tcp-filtered
    #[arg(value_name = "FINDING", value_parser = FindingWord, hide_possible_values = true)]
    id: Option<String>,
    /// Fill the names of this cache into the commands: host, port, resource and private zone
    #[arg(long, value_name = "HOST[:PORT]", requires = "id")]
    host: Option<String>,
    /// Port of that cache; default: the port of its product
    #[arg(long, value_name = "PORT", requires = "host", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Output format
    #[arg(long, value_enum, default_value = "text")]
    format: ExplainFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExplainFormat {
    Text,
    Json,
    Markdown,
}

/// Accepts any word, so that an unknown id is refused with the nearest ids; a shell completes the ids of findings.
#[derive(Debug, Clone)]
struct FindingWord;

impl TypedValueParser for FindingWord {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(FindingId::ALL.iter().map(|id| PossibleValue::new(id.as_str()))))
    }
}

/// Prints the catalogue, or one rule of it.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, String> {
    let Arguments { id, host, port, format } = arguments;
    let commands = match host {
        None => Commands::sample(),
        Some(host) => {
            let target = Target::parse(&host).map_err(|problem| problem.to_string())?;
            Commands::of_host(&target.host, port.or(target.port))
        }
    };
    let rules = match id.as_deref() {
        None => judge::CATALOGUE.to_vec(),
        Some(text) => {
            let id = FindingId::parse(text.trim()).ok_or_else(|| {
                format!(
                    "there is no finding {text}; did you mean {}? `cachewatch explain` lists all findings",
                    judge::nearest(text).join(", ")
                )
            })?;
            vec![judge::explain(id)]
        }
    };
    write_out(|out| match format {
        ExplainFormat::Text if id.is_none() => print::list(out, &rules, style()),
        ExplainFormat::Text => rules.iter().try_for_each(|rule| print::print(out, rule, &commands, style())),
        ExplainFormat::Json => print::print_json(out, &rules, &commands),
        ExplainFormat::Markdown => print::print_markdown(out, &rules, &commands),
    })?;
    Ok(Exit::Well)
}
