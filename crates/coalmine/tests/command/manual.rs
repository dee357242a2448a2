//! docs/command.md: its examples are run, and print what it says.

use std::process::Command;

use crate::harness::{Lab, shipped};

/// A fenced block of the document: what stands behind its fence, and its lines.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(info) => {
                inside = true;
                found.push((info, Vec::new()));
            }
            None if inside => found.last_mut().unwrap().1.push(line),
            None => {}
        }
    }
    found
}

#[test]
fn every_example_prints_what_it_says() {
    let text = std::fs::read_to_string(shipped("docs/command.md")).unwrap();
    let mut lab = Lab::new();
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_coalmine")).parent().unwrap().display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let mut run = 0;
    for (info, lines) in blocks(&text) {
        if let Some((_, name)) = info.split_once(' ') {
            lab = lab.with(name, lines.join("\n") + "\n");
        }
        if info != "console" {
            continue;
        }
        let mut lines = lines.into_iter().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").unwrap_or_else(|| panic!("a command was expected: {line}"));
            let mut expected = String::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                expected += &format!("{line}\n");
            }
            let output = Command::new("bash")
                .args(["-c", &format!("exec 2>&1; {command}")])
                .current_dir(lab.path())
                .env("PATH", &path)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "$ {command}");
            run += 1;
        }
    }
    assert!(run > 10, "{run}");
}
