//! The consoles of the documentation: their commands are run, and print what is shown.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::harness::{Lab, shipped};

/// First words of commands that are run. One that is neither here nor among [`LEFT_OUT`] fails the test.
const RUN: [&str; 4] = ["coalmine", "mv", "printf", "sed"];
/// First words of commands that are left out: they need a cluster, a proxy, a registry or the network.
const LEFT_OUT: [&str; 10] = [
    ".venv/bin/envoy",
    "GATEWAY=$(kubectl",
    "curl",
    "for",
    "istioctl",
    "kill",
    "kubectl",
    "make",
    "mkdir",
    "python3",
];
/// What `kubectl` does without a cluster: run where there is a `kubectl`.
const KUSTOMIZE: &str = "kubectl kustomize ";

/// A command of a console.
struct Example<'t> {
    /// The command, with the lines that continue it.
    command: String,
    /// Its lines in the document: the command's, and those that it prints.
    shown: Vec<&'t str>,
    output: Vec<&'t str>,
}

/// The commands of a console.
fn examples<'t>(lines: &[&'t str]) -> Vec<Example<'t>> {
    let mut examples: Vec<Example<'t>> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            examples.push(Example { command: command.to_owned(), shown: vec![line], output: Vec::new() });
            continue;
        }
        let last = examples.last_mut().unwrap_or_else(|| panic!("a command was expected: {line}"));
        match line.strip_prefix("> ") {
            Some(more) if last.output.is_empty() => {
                last.command += &format!("\n{more}");
                last.shown.push(line);
            }
            _ => last.output.push(line),
        }
    }
    examples
}

// === impl Example ===

impl Example<'_> {
    fn first_word(&self) -> &str {
        self.command.split_whitespace().next().unwrap_or_default()
    }

    fn is_run(&self) -> bool {
        let (run, left_out) = (RUN.contains(&self.first_word()), LEFT_OUT.contains(&self.first_word()));
        assert!(run || left_out, "a new kind of command; run it, or leave it out: $ {}", self.command);
        run || self.command.starts_with(KUSTOMIZE) && has_kubectl()
    }

    /// What the command prints, to standard output and to standard error.
    fn run(&self, folder: &Path) -> String {
        let command = Path::new(env!("CARGO_BIN_EXE_coalmine")).parent().unwrap().display().to_string();
        let output = Command::new("bash")
            .args(["-c", &format!("exec 2>&1; {}", self.command)])
            .current_dir(folder)
            .env_clear()
            .env("PATH", format!("{command}:{}", std::env::var("PATH").unwrap()))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

fn has_kubectl() -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join("kubectl").is_file())
}

/// Copies a folder of the repository: commands change files.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

/// The files that a block of a document stands for: the one of its fence, as `yaml policy.yaml`, or those of the README,
/// whose policy has no name and whose mistake is made in it.
fn files(document: &str, info: &str, content: String) -> Vec<(String, String)> {
    match info.split_once(' ') {
        Some((_, name)) => vec![(name.to_owned(), content)],
        None if document == "README.md" && info == "yaml" => {
            let mistake = content.replace("weight: 5", "wieght: 105");
            vec![("policy.yaml".to_owned(), content), ("typo.yaml".to_owned(), mistake)]
        }
        None => Vec::new(),
    }
}

/// The document with what its commands print now, and how many were run. They run in a folder that has the files that the
/// document shows, and `istio` and `envoy` of the repository.
fn printed(document: &str, text: &str) -> (String, usize) {
    let mut lab = Lab::new();
    for folder in ["istio", "envoy"] {
        copy(&shipped(folder), &lab.path().join(folder));
    }
    let (mut printed, mut run, mut left_out) = (String::new(), 0, Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        printed += &format!("{line}\n");
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        for (name, content) in files(document, info, block.join("\n") + "\n") {
            lab = lab.with(&name, content);
        }
        if info != "console" {
            printed.extend(block.iter().map(|line| format!("{line}\n")));
        }
        for example in examples(if info == "console" { &block } else { &[] }) {
            printed.extend(example.shown.iter().map(|line| format!("{line}\n")));
            if example.is_run() {
                printed += &example.run(lab.path());
                run += 1;
            } else {
                printed.extend(example.output.iter().map(|line| format!("{line}\n")));
                left_out.push(example.first_word().to_owned());
            }
        }
        printed += "```\n";
    }
    if !left_out.is_empty() {
        let count = left_out.len();
        left_out.sort();
        left_out.dedup();
        // Not by `println`, which shows nothing of a test that succeeds.
        let line = format!("{document}: {run} commands run, {count} left out: {}\n", left_out.join(", "));
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    (printed, run)
}

/// A failure is a patch of the documentation.
#[test]
fn every_example_prints_what_it_says() {
    let mut documents: Vec<(String, usize)> =
        [("README.md", 5), ("envoy/README.md", 2), ("istio/README.md", 0), ("istio/by-hand.md", 2)]
            .map(|(name, least)| (name.to_owned(), least))
            .into();
    for entry in std::fs::read_dir(shipped("docs")).unwrap() {
        let name = format!("docs/{}", entry.unwrap().file_name().to_string_lossy());
        if name.ends_with(".md") {
            let least = if name == "docs/command.md" { 13 } else { 0 };
            documents.push((name, least));
        }
    }
    documents.sort();
    let mut stale = String::new();
    for (name, least) in documents {
        let text = std::fs::read_to_string(shipped(&name)).unwrap();
        let (printed, run) = printed(&name, &text);
        assert!(run >= least, "{name}: {run} commands");
        if printed != text {
            let diff = similar::TextDiff::from_lines(&text, &printed);
            stale += &diff.unified_diff().context_radius(2).header(&name, &name).to_string();
        }
    }
    assert!(stale.is_empty(), "these examples print something else now (patch -p0):\n{stale}");
}
