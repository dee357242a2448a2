//! `coalmine import`: a policy from what another system has.

mod ingress;
mod split;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use coalmine_core::policy::{Environment, Policy};
use serde::Serialize;

use crate::cli::Format;
use crate::failure::Failure;
use crate::terminal;
use crate::text::{Source, Tree, Value, written};

/// Make a policy from the canaries of another system, and say what cannot be carried over
#[derive(Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Subcommand)]
enum From {
    /// From the canary annotations of ingress-nginx
    #[command(after_long_help = "\
Examples:
  coalmine import ingress-nginx ingress.yaml > policy.yaml
  kubectl get ingress -A -o yaml | coalmine import ingress-nginx - --identity cookie=session")]
    IngressNginx(Arguments),
    /// From the split_clients blocks of an nginx configuration
    #[command(after_long_help = "\
Examples:
  coalmine import split-clients /etc/nginx/nginx.conf > policy.yaml
  nginx -T 2>/dev/null | coalmine import split-clients -")]
    SplitClients(Arguments),
}

#[derive(Args)]
struct Arguments {
    /// The file; - for standard input
    file: PathBuf,
    /// What names the user, where the other system has nothing that can: header=NAME or cookie=NAME
    #[arg(long, value_name = "SOURCE", default_value = "header=x-user-id", value_parser = parse_identity)]
    identity: (String, String),
    /// YAML with the notes as comments, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn parse_identity(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((kind @ ("header" | "cookie"), name)) if !name.is_empty() => {
            Ok((kind.to_owned(), name.to_owned()))
        }
        _ => Err("header=NAME or cookie=NAME is expected"),
    }
}

/// Reads another system's file.
type Reader = fn(&Source, &Arguments) -> Result<Imported, Failure>;

/// What was found.
#[derive(Default)]
struct Imported {
    rollouts: Vec<Tree>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    policy: serde_json::Value,
    notes: &'a [String],
}

// === impl Import ===

impl Import {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let (arguments, read): (_, Reader) = match &self.from {
            From::IngressNginx(arguments) => (arguments, ingress::import),
            From::SplitClients(arguments) => (arguments, split::import),
        };
        let path: &Path = &arguments.file;
        let source = Source::read(path).map_err(Failure::refused(path))?;
        let mut imported = read(&source, arguments)?;
        if imported.rollouts.is_empty() {
            return Err(Failure::Unfit(path.to_owned(), "nothing to import in it".to_owned()));
        }
        let everybody = "Nobody keeps their side: Coalmine draws anew, once, and then for good. Start with a small weight.";
        imported.notes.insert(0, everybody.to_owned());
        imported.print(arguments.format)
    }
}

// === impl Imported ===

impl Imported {
    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn print(self, format: Format) -> Result<(), Failure> {
        let policy = Tree::of_fields([
            ("version", Tree::new(Value::Number(1.0))),
            ("rollouts", Tree::of_items(self.rollouts)),
        ]);
        let text = format!("{}\n", written::block(&policy, 0));
        let node = policy.to_node(&Source::new("policy", String::new()));
        if let Err(problems) = Policy::from_document(&node, Environment::Unread) {
            return Err(Failure::Problems(format!(
                "what was found makes no policy; mend it there first\n{problems}\n\n{text}"
            )));
        }
        if format == Format::Json {
            return terminal::json(&Answer { policy: json(&policy), notes: &self.notes });
        }
        let mut commented = String::new();
        for note in &self.notes {
            let _ = writeln!(commented, "# - {note}");
        }
        terminal::print_plain(&format!("{commented}{text}"))
    }
}

fn json(tree: &Tree) -> serde_json::Value {
    match &tree.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) if number.fract() == 0.0 => (*number as i64).into(),
        Value::Number(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json(&entry.tree))).collect(),
    }
}

/// A name that a policy takes, as near to this one as can be.
fn label(text: &str, otherwise: &str) -> String {
    let allowed = |character: char| match character.to_ascii_lowercase() {
        lower if lower.is_ascii_alphanumeric() => lower,
        _ => '-',
    };
    let name: String = text.chars().map(allowed).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { otherwise.to_owned() } else { name.to_owned() }
}

/// A source of identity: `[{header: x-user-id}]`.
fn identity(kind: &str, name: &str) -> Tree {
    let value = if kind == "sourceIp" { Tree::new(Value::Bool(true)) } else { Tree::of_text(name) };
    Tree::of_items([Tree::of_fields([(kind, value)])])
}

/// A variant with its weight in parts per million.
fn variant(name: &str, ppm: u32) -> Tree {
    let percent = Value::Number(f64::from(ppm) / 10_000.0);
    Tree::of_fields([("name", Tree::of_text(name)), ("weight", Tree::new(percent))])
}
