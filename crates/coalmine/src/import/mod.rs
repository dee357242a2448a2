//! `coalmine import`: a policy, or rollouts with plans, from the canaries of another system.
//!
//! | module | what is in it |
//! |---|---|
//! | `ingress` | the canary annotations of ingress-nginx |
//! | `nginx` | the `split_clients` blocks of an nginx configuration |
//! | `flagger` | the Canaries of Flagger |
//! | `argo` | the Rollouts of Argo Rollouts, and the AnalysisTemplates beside them |
//! | `plan` | what the importers of rollouts with plans share |
//! | `imported` | what was found, its notes and its problems, and how they are printed |

mod argo;
mod flagger;
mod imported;
mod ingress;
mod nginx;
mod plan;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use coalmine_core::policy::{Environment, Policy};
use coalmine_document::{Node, OwnedPath, SourceText, Value, quoted};

use crate::args::Format;
use crate::failure::Failure;
use crate::input;
use crate::scan::Object;
use imported::Imported;

/// Make a policy or rollouts from the canaries of another system, and say what cannot be carried over
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
    /// From the Canaries of Flagger
    #[command(after_long_help = "\
Examples:
  coalmine import flagger canary.yaml > rollout.yaml
  kubectl get canaries -A -o yaml | coalmine import flagger - --identity cookie=session")]
    Flagger(Arguments),
    /// From the Rollouts of Argo Rollouts, and the AnalysisTemplates and VirtualServices beside them
    #[command(after_long_help = "\
Examples:
  coalmine import argo rollout.yaml > planned.yaml
  kubectl get rollouts,analysistemplates,virtualservices -n shop -o yaml | coalmine import argo -")]
    Argo(Arguments),
}

#[derive(Args)]
struct Arguments {
    /// The file; - for standard input
    file: PathBuf,
    /// What names the user, where the other system has nothing that can: header=NAME or cookie=NAME
    #[arg(long, value_name = "SOURCE", default_value = "header=x-user-id", value_parser = parse_identity)]
    identity: (&'static str, String),
    /// YAML with the notes as comments, or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn parse_identity(text: &str) -> Result<(&'static str, String), String> {
    let (kind, name) = match text.split_once('=') {
        Some(("header", name)) if !name.is_empty() => ("header", name),
        Some(("cookie", name)) if !name.is_empty() => ("cookie", name),
        _ => return Err("header=NAME or cookie=NAME is expected".to_owned()),
    };
    // The policy's own reader knows which names will do.
    let rollout = Node::of_fields([
        ("name", Node::of_text("import")),
        ("identity", identity(kind, name)),
        ("variants", Node::of_items([variant("canary", 0)])),
    ]);
    let policy = Node::of_fields([("rollouts", Node::of_items([rollout]))]);
    match Policy::from_document(&policy, Environment::Unread) {
        Ok(_) => Ok((kind, name.to_owned())),
        Err(problems) => {
            Err(problems.shown().first().map_or_else(String::new, |first| first.message.clone()))
        }
    }
}

/// Reads another system's file.
type Reader = fn(&mut SourceText, &Arguments) -> Imported;

// === impl Import ===

impl Import {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let (arguments, read): (_, Reader) = match &self.from {
            From::IngressNginx(arguments) => (arguments, ingress::import),
            From::SplitClients(arguments) => (arguments, nginx::import),
            From::Flagger(arguments) => (arguments, flagger::import),
            From::Argo(arguments) => (arguments, argo::import),
        };
        let path: &Path = &arguments.file;
        let mut source = input::read(path).map_err(Failure::refused(path))?;
        let imported = read(&mut source, arguments);
        imported.finish(&source, arguments.format)
    }
}

/// The resources of Kubernetes in these documents; of a list, its items.
fn objects(documents: &[Node]) -> Vec<Object<'_>> {
    let of_list = |object: &Object<'_>| object.kind.ends_with("List");
    let all = documents.iter().filter_map(Object::of).flat_map(|object| {
        let items = object.items(&OwnedPath::default());
        items.into_iter().map(|(item, _)| item).chain([object])
    });
    all.filter(|object| !of_list(object)).collect()
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

/// A text of the other system in a note: in quotes, where it is not a word.
fn shown(text: &str) -> String {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/$*".contains(&byte);
    match !text.is_empty() && text.len() <= 64 && text.bytes().all(is_word) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// A name of the other system as the name of a gate, a notifier or a query, for a note where it changes.
fn renamed(name: &str, otherwise: &str) -> (String, String) {
    let found = label(name, otherwise);
    let words = if found == name { shown(name) } else { format!("{found} ({})", quoted(name)) };
    (found, words)
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
