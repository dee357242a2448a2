//! `coalmine-size LINKED TRIMMED SHIPPED NAMED`: which sections, crates and functions the bytes of the filter belong to.
//!
//! The first three are the module after each step of the build. The shipped one has no names; `NAMED` is the same module
//! with them: the same code, but for the order of functions.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};

/// How many of the largest functions are listed.
const LISTED: usize = 25;
/// The crates of the standard library.
const STANDARD: [&str; 3] = ["alloc", "core", "std"];
/// How much of a function's name is shown.
const SHOWN: usize = 150;
/// Functions whose name begins with no crate: those that the host calls, and the C library's.
const NO_CRATE: &str = "(exported, and libc)";

/// A function that the module defines.
struct Function {
    /// What its body takes in the code section.
    bytes: usize,
    name: String,
}

/// A module, taken apart.
struct Module {
    total: usize,
    /// Each section with its bytes, in the order of the file.
    sections: Vec<(String, usize)>,
    functions: Vec<Function>,
}

fn main() -> Result<()> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [linked, trimmed, shipped, named] = paths.as_slice() else {
        bail!("usage: coalmine-size LINKED TRIMMED SHIPPED NAMED");
    };
    for (step, path) in [("linked, names left out", linked), ("trimmed", trimmed), ("shipped", shipped)] {
        println!("{:>8} bytes  {step}: {}", Module::read(path)?.without_names(), path.display());
    }
    let (shipped, named) = (Module::read(shipped)?, Module::read(named)?);
    ensure!(shipped.code() == named.code(), "the code of the module with names has another size");
    let print = |bytes: usize, what: &str| {
        println!("{bytes:>8} {:>5.1} %  {what}", 100.0 * bytes as f64 / shipped.total as f64);
    };
    shipped.print_sections(print);
    named.print_crates(print);
    named.print_largest(print);
    Ok(())
}

// === impl Module ===

impl Module {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("in {}", path.display()))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let (mut imported, mut sizes) = (0_u32, Vec::new());
        let (mut sections, mut names) = (Vec::new(), BTreeMap::new());
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload?;
            if let Some((id, range)) = payload.as_section() {
                sections.push((section_name(id, &payload), range.len()));
            }
            match payload {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        imported += u32::from(matches!(import?.ty, wasmparser::TypeRef::Func(_)));
                    }
                }
                Payload::CodeSectionEntry(body) => sizes.push(body.range().len()),
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(reader) = section.as_known() {
                        names = function_names(reader)?;
                    }
                }
                _ => {}
            }
        }
        let functions = (imported..).zip(sizes).map(|(index, bytes)| {
            let name = names.remove(&index).unwrap_or_else(|| format!("function {index}"));
            Function { bytes, name }
        });
        Ok(Self { total: bytes.len(), functions: functions.collect(), sections })
    }

    fn without_names(&self) -> usize {
        let names = self.sections.iter().filter(|(name, _)| name.starts_with("custom"));
        self.total - names.map(|(_, bytes)| bytes).sum::<usize>()
    }

    fn code(&self) -> usize {
        self.sections.iter().filter(|(name, _)| name == "code").map(|(_, bytes)| bytes).sum()
    }

    fn print_sections(&self, print: impl Fn(usize, &str)) {
        println!("\nby section");
        for (name, bytes) in &self.sections {
            print(*bytes, name);
        }
        let inside: usize = self.sections.iter().map(|(_, bytes)| bytes).sum();
        print(self.total - inside, "(headers of the file and of its sections)");
    }

    fn print_crates(&self, print: impl Fn(usize, &str)) {
        let mut crates: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for function in &self.functions {
            let (bytes, count) = crates.entry(crate_of(&function.name).unwrap_or(NO_CRATE)).or_default();
            *bytes += function.bytes;
            *count += 1;
        }
        let mut crates: Vec<_> = crates.into_iter().collect();
        crates.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
        println!(
            "\nby crate: its functions, what was inlined into them, and generics of std that were made for it"
        );
        for (name, (bytes, count)) in crates {
            print(bytes, &format!("{name}, {count} functions"));
        }
    }

    fn print_largest(&self, print: impl Fn(usize, &str)) {
        let mut functions: Vec<&Function> = self.functions.iter().collect();
        functions.sort_by_key(|function| std::cmp::Reverse(function.bytes));
        println!("\nthe {LISTED} largest of {} functions", functions.len());
        for function in functions.into_iter().take(LISTED) {
            let shown: String = function.name.chars().take(SHOWN).collect();
            print(function.bytes, &shown);
        }
    }
}

fn section_name(id: u8, payload: &Payload<'_>) -> String {
    if let Payload::CustomSection(section) = payload {
        return format!("custom: {}", section.name());
    }
    let names = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
    ];
    names.get(usize::from(id)).map_or_else(|| format!("section {id}"), |name| (*name).to_owned())
}

fn function_names(reader: NameSectionReader<'_>) -> Result<BTreeMap<u32, String>> {
    let mut names = BTreeMap::new();
    for part in reader {
        if let Name::Function(functions) = part? {
            for naming in functions {
                let naming = naming?;
                // The alternate form leaves out the hash at the end.
                names.insert(naming.index, format!("{:#}", rustc_demangle::demangle(naming.name)));
            }
        }
    }
    Ok(names)
}

/// The crate that a function is counted for: the one that its name begins with. What is generic in the standard library
/// is counted for the first other crate that it is made for: `core::iter::Map<coalmine_core::Cursor, ..>::next` would not
/// be there without it.
fn crate_of(name: &str) -> Option<&str> {
    let in_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let paths = name.split(|letter| !in_path(letter)).filter_map(|path| path.split_once("::"));
    let mut crates = paths.map(|(first, _)| first).filter(|first| !first.is_empty());
    let first = crates.next()?;
    let other = STANDARD.contains(&first).then(|| crates.find(|other| !STANDARD.contains(other))).flatten();
    Some(other.unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_counted_for_one_crate() {
        for (name, found) in [
            ("core::fmt::write", Some("core")),
            ("<alloc::string::String as core::fmt::Write>::write_str", Some("alloc")),
            ("<u32 as core::fmt::Display>::fmt", Some("core")),
            ("<&[u8] as coalmine_core::request::Text>::text", Some("coalmine_core")),
            (
                "<coalmine_filter::http::Http as proxy_wasm::traits::HttpContext>::on_done",
                Some("coalmine_filter"),
            ),
            ("<core::iter::Map<coalmine_core::Cursor, <fnv::A>::{closure#0}>>::next", Some("coalmine_core")),
            ("core::ptr::drop_in_place::<alloc::boxed::Box<dyn core::any::Any>>", Some("core")),
            ("memcpy", None),
            ("proxy_on_tick", None),
        ] {
            assert_eq!(crate_of(name), found, "{name}");
        }
    }
}
