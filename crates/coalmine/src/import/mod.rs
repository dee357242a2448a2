//! `coalmine import`: a policy from the canaries of another system.

mod ingress;
mod split;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use coalmine_core::policy::{Environment, Policy};
use coalmine_document::{Node, SourceText, Value, write};
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;
use crate::input;
use crate::output;

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
type Reader = fn(&SourceText, &Arguments) -> Result<Imported, Failure>;

/// What was found.
#[derive(Default)]
struct Imported {
    rollouts: Vec<Node>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct ImportOutput<'a> {
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
        let source = input::read(path).map_err(Failure::refused(path))?;
        let mut imported = read(&source, arguments)?;
        if imported.rollouts.is_empty() {
            return Err(Failure::Unfit(path.to_owned(), "nothing to import in it".to_owned()));
        }
        let first = "Users change sides once: Coalmine assigns them anew, and then for good. Start with a small weight.";
        imported.notes.insert(0, first.to_owned());
        imported.print(arguments.format)
    }
}

// === impl Imported ===

impl Imported {
    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn print(self, format: Format) -> Result<(), Failure> {
        let policy = Node::of_fields([
            ("version", Node::from(Value::Number(1.0))),
            ("rollouts", Node::of_items(self.rollouts)),
        ]);
        let text = format!("{}\n", write::block(&policy, 0));
        if let Err(problems) = Policy::from_document(&policy, Environment::Unread) {
            return Err(Failure::Problems(format!(
                "what was found makes no policy; mend it there first\n{problems}\n\n{text}"
            )));
        }
        if format == Format::Json {
            return output::json(&ImportOutput { policy: json(&policy), notes: &self.notes });
        }
        let mut commented = String::new();
        for note in &self.notes {
            let _ = writeln!(commented, "# - {note}");
        }
        output::print_plain(&format!("{commented}{text}"))
    }
}

fn json(tree: &Node) -> serde_json::Value {
    match &tree.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) if number.fract() == 0.0 => (*number as i64).into(),
        Value::Number(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect(),
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
fn identity(kind: &str, name: &str) -> Node {
    let value = if kind == "sourceIp" { Node::from(Value::Bool(true)) } else { Node::of_text(name) };
    Node::of_items([Node::of_fields([(kind, value)])])
}

/// A variant with its weight in parts per million.
fn variant(name: &str, ppm: u32) -> Node {
    let percent = Value::Number(f64::from(ppm) / 10_000.0);
    Node::of_fields([("name", Node::of_text(name)), ("weight", percent.into())])
}
