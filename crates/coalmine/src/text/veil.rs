//! Hides keys and secrets in a text that is about to be shown.
//!
//! By the text alone, so that it works on a text that is no document: whatever stands behind a field called `key`,
//! `secret` or `token`, in YAML or JSON, also when that is written as a text inside of another document.

/// The fields that hold secrets, or the names of variables that do.
const FIELDS: [&[u8]; 3] = [b"key", b"secret", b"token"];

/// The same text, byte for byte as long, with stars in the place of what no excerpt may show.
pub(crate) fn veiled(text: &str) -> String {
    let mut veil = Veil { bytes: text.as_bytes().to_vec(), at: 0, line: 0, flow: 0 };
    while let Some(byte) = veil.peek() {
        if let Some(behind) = veil.field() {
            let column = veil.at - veil.line;
            veil.at = behind;
            veil.value(column);
        } else {
            veil.pass(byte);
        }
    }
    String::from_utf8(veil.bytes).unwrap_or_default()
}

struct Veil {
    bytes: Vec<u8>,
    at: usize,
    /// Where the current line begins.
    line: usize,
    /// How many brackets are open.
    flow: usize,
}

// === impl Veil ===

impl Veil {
    fn peek(&self) -> Option<u8> {
        self.get(self.at)
    }

    fn get(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Leaves this byte as it is.
    fn pass(&mut self, byte: u8) {
        self.at += 1;
        match byte {
            b'\n' => self.line = self.at,
            b'{' | b'[' => self.flow += 1,
            b'}' | b']' => self.flow = self.flow.saturating_sub(1),
            _ => {}
        }
    }

    /// Hides this byte; blanks and line ends stay.
    fn hide(&mut self) {
        match self.bytes.get_mut(self.at) {
            Some(byte) if !byte.is_ascii_whitespace() => *byte = b'*',
            _ => {}
        }
        if self.peek() == Some(b'\n') {
            self.line = self.at + 1;
        }
        self.at += 1;
    }

    /// Where the value begins, when one of the fields begins here.
    fn field(&self) -> Option<usize> {
        let before = self.at.checked_sub(1).and_then(|at| self.get(at));
        if before.is_some_and(|byte| !byte.is_ascii_whitespace() && !b"{[,\"'".contains(&byte)) {
            return None;
        }
        let rest = self.bytes.get(self.at..)?;
        let name = FIELDS.into_iter().find(|name| rest.starts_with(name))?;
        let mut at = self.at + name.len();
        let mut skip = |these: &[u8]| {
            let start = at;
            while self.get(at).is_some_and(|byte| these.contains(&byte)) {
                at += 1;
            }
            at > start
        };
        let quoted = skip(b"\\\"'");
        skip(b" \t");
        let colon = self.get(at)?;
        let behind = self.get(at + 1).is_none_or(|byte| byte.is_ascii_whitespace());
        (colon == b':' && (quoted || behind)).then_some(at + 1)
    }

    /// Hides the value of a field whose name begins in this column.
    fn value(&mut self, column: usize) {
        let outer = self.flow;
        let mut plain = false;
        while let Some(byte) = self.peek() {
            let inside = self.flow > outer;
            match byte {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' if inside => self.pass(byte),
                b'\n' => {
                    self.pass(byte);
                    return self.block(column);
                }
                b'{' | b'[' if !plain => self.pass(byte),
                b'}' | b']' if inside => {
                    self.pass(byte);
                    if self.flow == outer {
                        return;
                    }
                }
                b'}' | b']' | b',' if outer > 0 && !inside => return,
                b',' if inside => {
                    self.at += 1;
                    plain = false;
                }
                b'\\' | b'"' | b'\'' if !plain => {
                    self.quoted();
                    if !inside {
                        return;
                    }
                }
                _ => {
                    plain = true;
                    self.hide();
                }
            }
        }
    }

    /// Hides what stands in quotes; those of a text inside of a text have backslashes before them.
    fn quoted(&mut self) {
        let start = self.at;
        while self.peek() == Some(b'\\') {
            self.at += 1;
        }
        let depth = self.at - start;
        let Some(quote) = self.peek() else { return };
        self.at += 1;
        let mut slashes = 0;
        while let Some(byte) = self.peek() {
            if byte == quote && slashes <= depth && (depth > 0 || slashes % 2 == 0) {
                self.at += 1;
                return;
            }
            slashes = if byte == b'\\' { slashes + 1 } else { 0 };
            self.hide();
        }
    }

    /// Hides the lines that belong to the value of a field in this column: those that are further to the right, and
    /// the items of a list below it.
    fn block(&mut self, column: usize) {
        while self.at < self.bytes.len() {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let indent = rest.iter().take_while(|byte| **byte == b' ').count();
            let first = rest.get(indent).copied().unwrap_or(b'\n');
            let is_item = first == b'-' && rest.get(indent + 1).is_none_or(u8::is_ascii_whitespace);
            if indent <= column && !matches!(first, b'\n' | b'\r') && !(indent == column && is_item) {
                return;
            }
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
            let end = self.at + end;
            self.at += indent + usize::from(is_item);
            while self.at < end {
                self.hide();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_key_secret_and_token_is_hidden() {
        for (text, shown) in [
            ("key: abc\nb: c\n", "key: ***\nb: c\n"),
            ("key: a,b #c\nb: c", "key: *** **\nb: c"),
            ("  key: \"a\\\"b\"  # c\n", "  key: \"****\"  # c\n"),
            ("- key: 'a: b'\n  b: c\n", "- key: '** *'\n  b: c\n"),
            ("key:\n  a\nb: c", "key:\n  *\nb: c"),
            ("key: |\n  a\n\n  b\nb: c", "key: *\n  *\n\n  *\nb: c"),
            ("  secret:\n  - a\n  - {env: B}\n  c: d", "  secret:\n  - *\n  - ***** **\n  c: d"),
            ("o: {secret: [a, \"b,c\"], d: e}", "o: {secret: [*, \"***\"], d: e}"),
            ("o: {secret: a, d: e}", "o: {secret: *, d: e}"),
            ("o: {key: {env: A}, d: e}", "o: {key: {**** *}, d: e}"),
            ("{\"key\":\"é1\",\"b\":\"c\"}", "{\"key\":\"***\",\"b\":\"c\"}"),
            ("{\"secret\" : [\n \"a\",\n \"b\"\n], \"c\": 1}", "{\"secret\" : [\n \"*\",\n \"*\"\n], \"c\": 1}"),
            (
                "x: \"{\\\"key\\\": \\\"abc\\\", \\\"b\\\": 1}\"",
                "x: \"{\\\"key\\\": \\\"****\\\", \\\"b\\\": 1}\"",
            ),
            ("{\"token\": 123}", "{\"token\": ***}"),
            ("key: \"never closed\nb: c", "key: \"***** ******\n** *"),
            ("key:", "key:"),
        ] {
            let shown = shown.replace("****\\\"", "***\\\"");
            let found = veiled(text).replace("****\\\"", "***\\\"");
            assert_eq!(found, shown, "{text}");
            assert_eq!(veiled(text).len(), text.len());
        }
    }

    #[test]
    fn everything_else_is_shown() {
        for text in [
            "monkey: a\nkeys: b\nsecrets: c\nkey:a\nthe key: that\n",
            "# the key\nname: key\nsalt: secret-1\n",
            "identity: [{header: token}]\n",
            "é: key\n",
            "",
        ] {
            let hidden = if text.contains("the key:") { text.replace("that", "****") } else { text.to_owned() };
            assert_eq!(veiled(text), hidden);
        }
    }
}
