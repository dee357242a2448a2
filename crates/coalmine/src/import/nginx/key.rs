//! The text that nginx hashes, and what of it names a user.

use coalmine_document::Node;

use crate::import::identity;

/// Headers that name no user, or none that a policy may use.
const NO_USER: [&str; 17] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "origin",
    "referer",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-request-id",
];

/// The text of `split_clients`: its variables, and what stands around them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) variables: Vec<String>,
    pub(super) text: String,
}

/// What names the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) kind: &'static str,
    pub(super) name: String,
}

// === impl Key ===

impl Key {
    pub(super) fn of(key: &str) -> Self {
        let (mut variables, mut text) = (Vec::new(), String::new());
        let mut rest = key;
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
            let braced = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let (name, behind) = match braced {
                Some((name, behind)) if name.chars().all(is_word) => (name, behind),
                _ => after.split_at(after.find(|c| !is_word(c)).unwrap_or(after.len())),
            };
            match name {
                "" => text.push('$'),
                name => variables.push(name.to_ascii_lowercase()),
            }
            rest = behind;
        }
        text.push_str(rest);
        Self { variables, text }
    }

    /// The first variable that names a user, by its place.
    pub(super) fn source(&self) -> Option<(usize, Source)> {
        self.variables.iter().enumerate().find_map(|(place, variable)| Some((place, Source::of(variable)?)))
    }

    /// The text around the variables as a salt, where it can be one.
    pub(super) fn salt(&self) -> Option<&str> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
        let text = self.text.as_str();
        (1..=160).contains(&text.len()).then_some(text).filter(|text| text.bytes().all(is_allowed))
    }
}

// === impl Source ===

impl Source {
    fn of(variable: &str) -> Option<Self> {
        let source = |kind, name: &str| (!name.is_empty()).then(|| Self { kind, name: name.to_owned() });
        if matches!(variable, "remote_addr" | "binary_remote_addr" | "realip_remote_addr") {
            return Some(Self { kind: "sourceIp", name: String::new() });
        }
        if let Some(name) = variable.strip_prefix("http_") {
            let name = name.replace('_', "-");
            return source("header", &name).filter(|source| !NO_USER.contains(&source.name.as_str()));
        }
        [("cookie_", "cookie"), ("arg_", "queryParameter"), ("jwt_claim_", "jwtClaim")]
            .into_iter()
            .find_map(|(prefix, kind)| source(kind, variable.strip_prefix(prefix)?))
    }

    pub(super) fn node(&self) -> Node {
        identity(self.kind, &self.name)
    }

    /// For a sentence: `the cookie sid`.
    pub(super) fn title(&self) -> String {
        let kind = match self.kind {
            "sourceIp" => return "the address".to_owned(),
            "queryParameter" => "query parameter",
            "jwtClaim" => "JWT claim",
            kind => kind,
        };
        format!("the {kind} {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_variables_and_text() {
        for (key, variables, text) in [
            ("${remote_addr}AAA", &["remote_addr"][..], "AAA"),
            ("$remote_addr$http_user_agent", &["remote_addr", "http_user_agent"], ""),
            ("a$arg_ID-b", &["arg_id"], "a-b"),
            ("plain", &[], "plain"),
            ("$", &[], "$"),
            ("${open", &[], "${open"),
        ] {
            let key = Key::of(key);
            assert_eq!(
                (key.variables.iter().map(String::as_str).collect::<Vec<_>>(), &*key.text),
                (variables.to_vec(), text)
            );
        }
    }

    #[test]
    fn a_variable_names_a_user_or_none() {
        for (variable, expected) in [
            ("cookie_sid", Some("the cookie sid")),
            ("arg_token", Some("the query parameter token")),
            ("http_x_user_id", Some("the header x-user-id")),
            ("jwt_claim_sub", Some("the JWT claim sub")),
            ("binary_remote_addr", Some("the address")),
            ("http_cookie", None),
            ("http_authorization", None),
            ("http_user_agent", None),
            ("request_id", None),
            ("cookie_", None),
        ] {
            assert_eq!(Source::of(variable).map(|source| source.title()).as_deref(), expected, "{variable}");
        }
    }
}
