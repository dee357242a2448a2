//! Where the command marks problems, held against marks in the text itself: `weight: «105»`.

use crate::harness::{Lab, Run};

/// A marked text and its place. Lines and columns count from 1, columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    line: u64,
    column: u64,
    text: String,
}

/// Runs `validate` on this text, less its marks, under this name. Every mark is the place of one problem and every problem
/// has a mark; `paths` are theirs, in the order of the text. An empty mark is a place without a character of its own.
///
/// The place is the one of the excerpt, which has to be the one of `--format json` as well.
#[track_caller]
pub(crate) fn assert_marked(name: &str, marked: &str, paths: &[&str]) {
    let (text, expected) = without_marks(marked);
    let lab = Lab::new().with(name, text);
    let run = lab.run(&format!("validate {name}"));
    let mut shown = excerpts(&run, name);
    shown.sort();
    for (shown, expected) in shown.iter_mut().zip(&expected) {
        if expected.text.is_empty() && shown.text.chars().count() <= 1 {
            shown.text.clear();
        }
    }
    assert_eq!(shown, expected, "{run}");
    let mut places = problems(&lab.run(&format!("validate {name} --format json")));
    places.sort();
    let expected: Vec<(u64, u64, String)> =
        expected.iter().zip(paths).map(|(mark, path)| (mark.line, mark.column, (*path).to_owned())).collect();
    assert_eq!(places, expected, "{run}");
}

/// The text without its marks, and the marks in their order.
fn without_marks(marked: &str) -> (String, Vec<Mark>) {
    let (mut text, mut marks) = (String::new(), Vec::<Mark>::new());
    let (mut line, mut column, mut start) = (1, 1, None);
    for character in marked.chars() {
        match character {
            '«' => {
                marks.push(Mark { line, column, text: String::new() });
                start = Some(text.len());
                continue;
            }
            '»' => {
                let start = start.take().expect("a mark that began");
                marks.last_mut().unwrap().text = text[start..].to_owned();
                continue;
            }
            '\n' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
        text.push(character);
    }
    assert!(start.is_none(), "a mark does not end: {marked}");
    (text, marks)
}

/// The excerpts of a run: the place of each, and the text above its carets.
fn excerpts(run: &Run, name: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut place = None;
    let mut above = "";
    for line in run.stdout.lines() {
        if let Some(at) = line.trim_start().strip_prefix("--> ") {
            let at = at.strip_prefix(name).unwrap_or_else(|| panic!("{name} was expected: {line}"));
            let mut numbers = at.split(':').skip(1).map(|number| number.parse().unwrap());
            place = numbers.next().zip(numbers.next());
        } else if let (Some((number, column)), Some((_, content))) = (place, line.split_once('|')) {
            let carets = content.trim();
            if !carets.is_empty() && carets.bytes().all(|byte| byte == b'^') {
                let from = content.find('^').unwrap();
                marks.push(Mark { line: number, column, text: columns(above, from, from + carets.len()) });
                place = None;
            }
            above = content;
        }
    }
    marks
}

/// What stands in these columns of a terminal; characters of East Asia take two.
fn columns(line: &str, from: usize, to: usize) -> String {
    let mut column = 0;
    line.chars()
        .filter(|&character| {
            let at = column;
            column += if character >= '\u{1100}' { 2 } else { 1 };
            (from..to).contains(&at)
        })
        .collect()
}

/// The problems of a run for programs: line, column and path.
fn problems(run: &Run) -> Vec<(u64, u64, String)> {
    let output: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
    let number = |problem: &serde_json::Value, field: &str| problem[field].as_u64().unwrap();
    let problems = output["problems"].as_array().unwrap().iter();
    problems
        .map(|problem| {
            let path = problem["place"].as_str().unwrap().to_owned();
            (number(problem, "line"), number(problem, "column"), path)
        })
        .collect()
}
