//! What is wrong with the sources of an identity and the cookie that is issued.

use super::{assert_problem, problems, rollout_with};

#[test]
fn an_identity() {
    let why = "say what names the user, as [{header: x-user-id}]";
    assert_problem(
        "\"identity\": [{\"header\": \"x-user-id\"}],",
        "",
        &format!("rollouts[0]: \"identity\" is missing: {why}"),
    );
    assert_problem(
        "[{\"header\": \"x-user-id\"}]",
        "[]",
        &format!("rollouts[0].identity: is an empty list; {why}"),
    );
    assert_problem(
        "{\"header\": \"x-user-id\"}",
        "{}",
        "rollouts[0].identity[0]: needs one source: header, cookie, jwtClaim, queryParameter, peer, sourceIp",
    );
    for name in ["authorization", "Cookie"] {
        let problem = format!(
            "rollouts[0].identity[0].header: \"{}\" is no identity: use a header that names the user, or a cookie",
            name.to_lowercase()
        );
        assert_problem("x-user-id", name, &problem);
    }
    assert_problem(
        "x-user-id",
        "x user",
        "rollouts[0].identity[0].header: \"x user\" is not a valid header name: 1 to 256 of A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~",
    );
}

#[test]
fn a_source() {
    let source = |source: &str, place: &str, message: &str| {
        assert_problem(
            "{\"header\": \"x-user-id\"}",
            source,
            &format!("rollouts[0].identity[0]{place}: {message}"),
        );
    };
    let one = "needs one source: header, cookie, jwtClaim, queryParameter, peer, sourceIp";
    source(r#"{"peer": true, "sourceIp": true}"#, "", one);
    source(r#"{"header": "x-user-id", "cookie": "sid"}"#, "", one);
    source("7", "", "must be a map, as {header: x-user-id}, not the number 7");
    for (name, misspelt) in [("queryParameter", "queryparameter"), ("sourceIp", "sourceIP")] {
        assert_eq!(
            problems(&rollout_with("{\"header\": \"x-user-id\"}", &format!("{{\"{misspelt}\": true}}"))),
            [
                format!("rollouts[0].identity[0].{misspelt}: unknown field; did you mean \"{name}\"?"),
                format!("rollouts[0].identity[0]: {one}"),
            ]
        );
    }
    for name in ["peer", "sourceIp"] {
        source(
            &format!(r#"{{"{name}": false}}"#),
            &format!(".{name}"),
            "must be true; leave the source out instead",
        );
        source(
            &format!(r#"{{"{name}": 1}}"#),
            &format!(".{name}"),
            "must be true or false, not the number 1",
        );
    }
    source(
        r#"{"cookie": "a=b"}"#,
        ".cookie",
        "\"a=b\" is more than a name: leave out = and what is behind it",
    );
    source(
        r#"{"header": ""}"#,
        ".header",
        "\"\" is not a valid header name: 1 to 256 of A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~",
    );
    source(r#"{"header": ":path"}"#, ".header", "\":path\" is a pseudo-header; name an ordinary header");
    for name in ["", "a&b", "a=b", "a#b", "a b", "ü"] {
        source(
            &format!(r#"{{"queryParameter": "{name}"}}"#),
            ".queryParameter",
            &format!(
                "\"{name}\" is not a valid parameter name: 1 to 256 characters as in a URL, without &, = and #"
            ),
        );
    }
}

#[test]
fn a_claim() {
    let claim = |claim: &str, place: &str, message: &str| {
        assert_problem(
            "{\"header\": \"x-user-id\"}",
            &format!(r#"{{"jwtClaim": {claim}}}"#),
            &format!("rollouts[0].identity[0].jwtClaim{place}: {message}"),
        );
    };
    let no_name = "is not a valid claim name: 1 to 256 bytes without NUL";
    claim(r#""""#, "", &format!("\"\" {no_name}"));
    claim(r#""a\u0000b""#, "", &format!(r#""a\u{{0}}b" {no_name}"#));
    claim("7", "", "must be a string, not the number 7: put it in quotes");
    claim("[\"sub\"]", "", "must be a string, not a list");
    claim("{}", "", "\"path\" is missing: the names on the way to the claim, as [realm, tenant]");
    claim(r#"{"path": []}"#, ".path", "is an empty list; name at least the claim itself");
    claim(
        r#"{"path": "sub"}"#,
        ".path",
        "must be a list, not the string \"sub\": put [ ] around a single item",
    );
    claim(r#"{"path": ["realm", ""]}"#, ".path[1]", &format!("\"\" {no_name}"));
    claim(r#"{"path": ["sub"], "payload": ""}"#, ".payload", &format!("\"\" {no_name}"));
    claim(r#"{"path": ["sub"], "payloads": "x"}"#, ".payloads", "unknown field; did you mean \"payload\"?");
    assert_eq!(
        problems(&rollout_with(
            "{\"header\": \"x-user-id\"}",
            r#"{"jwtClaim": {"path": ["", "b", 7], "payload": 8}}"#
        )),
        [
            format!("rollouts[0].identity[0].jwtClaim.path[0]: \"\" {no_name}"),
            "rollouts[0].identity[0].jwtClaim.path[2]: must be a string, not the number 7: put it in quotes"
                .into(),
            "rollouts[0].identity[0].jwtClaim.payload: must be a string, not the number 8: put it in quotes"
                .into(),
        ],
        "all of them are shown"
    );
}

#[test]
fn an_issued_cookie() {
    let cookie = |cookie: &str, place: &str, message: &str| {
        assert_problem(
            "\"onMissingIdentity\": \"stable\"",
            &format!("\"onMissingIdentity\": \"issueCookie\", \"cookie\": {cookie}"),
            &format!("rollouts[0].cookie{place}: {message}"),
        );
    };
    cookie("true", "", "must be a map, not true");
    cookie(
        r#"{"name": ""}"#,
        ".name",
        "\"\" is not a valid cookie name: 1 to 256 of A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~",
    );
    for age in ["30", "-1d", "1.5s", "d", "", "4294967296s", "+1d"] {
        cookie(
            &format!(r#"{{"maxAge": "{age}"}}"#),
            ".maxAge",
            &format!("\"{age}\" is not a duration: a whole number and s, m, h or d, as 30m"),
        );
    }
    for (age, meant) in [("30days", "30d"), ("1.5h", "90m"), ("1 d", "1d"), ("1h30m", "90m")] {
        let message = format!("\"{age}\" is not a duration: write {meant}");
        cookie(&format!(r#"{{"maxAge": "{age}"}}"#), ".maxAge", &message);
    }
    let message = "must be a duration, not the number 30: write its unit too, as 30s";
    cookie(r#"{"maxAge": 30}"#, ".maxAge", message);
    for path in ["", "shop", "/a;b", "/a,b", "/a b", "/ü", "/a\\r\\nSet-Cookie: x"] {
        cookie(
            &format!(r#"{{"path": "{path}"}}"#),
            ".path",
            &format!(
                "\"{path}\" cannot be used: a path begins with / and has at most 1024 bytes, without blanks, ';' and ','"
            ),
        );
    }
    let dots = |count: usize| "a.".repeat(count);
    for domain in [
        "",
        "Shop.example",
        "shop.example;x",
        "shop.example:80",
        &"x".repeat(254),
        ".",
        "-",
        "..",
        "shop",
        "shop..example",
        "shop.example.",
        "..shop.example",
        "-shop.example",
        "shop-.example",
        &format!("{}aa", dots(126)),
    ] {
        let shown = if domain.len() > 64 { format!("{}…", &domain[..64]) } else { domain.to_owned() };
        cookie(
            &format!(r#"{{"domain": "{domain}"}}"#),
            ".domain",
            &format!(
                "\"{shown}\" cannot be used: a domain has two or more labels of a-z, 0-9 and '-', as shop.example, without blanks, ';' and ','"
            ),
        );
    }
    cookie(r#"{"sameSite": "lax"}"#, ".sameSite", "\"lax\" is not known; did you mean \"Lax\"?");
    cookie(r#"{"secure": "yes"}"#, ".secure", "must be true or false, not the string \"yes\"");
    cookie(
        r#"{"sameSite": "None", "secure": false}"#,
        "",
        "browsers drop a cookie with \"sameSite: None\" that is not secure; set \"secure: true\"",
    );
    cookie(
        r#"{"httpOnly": true}"#,
        ".httpOnly",
        "unknown field; known here: name, maxAge, path, domain, sameSite, secure",
    );
    assert_problem(
        "\"onMissingIdentity\": \"stable\"",
        "\"cookie\": {}",
        "rollouts[0].cookie: describes the cookie that \"onMissingIdentity: issueCookie\" issues; this rollout issues none",
    );
}

/// Browsers drop a cookie whose name promises what its attributes do not keep.
#[test]
fn a_cookie_whose_name_has_a_prefix() {
    let cookie = |cookie: &str| {
        problems(&rollout_with(
            "\"onMissingIdentity\": \"stable\"",
            &format!("\"onMissingIdentity\": \"issueCookie\", \"cookie\": {cookie}"),
        ))
    };
    let host = "rollouts[0].cookie: browsers drop a cookie with a name in __Host- unless it is secure, has no domain and has the path /";
    let secure = "rollouts[0].cookie: browsers drop a cookie with a name in __Secure- or __Http- that is not secure; set \"secure: true\"";
    for name in ["__Host-cid", "__host-cid", "__HOST-", "__Host-Http-cid"] {
        for field in [r#""domain": "shop.example""#, r#""path": "/shop""#, r#""secure": false"#] {
            assert_eq!(cookie(&format!(r#"{{"name": "{name}", {field}}}"#)), [host], "{name} {field}");
        }
        assert_eq!(cookie(&format!(r#"{{"name": "{name}", "path": "/", "secure": true}}"#)), [""; 0]);
    }
    for name in ["__Secure-cid", "__SECURE-cid", "__Http-cid"] {
        assert_eq!(cookie(&format!(r#"{{"name": "{name}", "secure": false}}"#)), [secure], "{name}");
        assert_eq!(
            cookie(&format!(r#"{{"name": "{name}", "domain": "shop.example", "path": "/s"}}"#)),
            [""; 0]
        );
    }
    for name in ["_Host-cid", "__Hostcid", "cid-__Host-", "__Secure"] {
        let fields = r#""domain": ".shop.example", "path": "/s", "secure": false"#;
        assert_eq!(cookie(&format!(r#"{{"name": "{name}", {fields}}}"#)), [""; 0], "{name}");
    }
    let longest = format!("/{}", "x".repeat(1023));
    assert_eq!(cookie(&format!(r#"{{"path": "{longest}"}}"#)), [""; 0]);
    assert_eq!(cookie(&format!(r#"{{"path": "{longest}x"}}"#)).len(), 1);
}

/// A cookie that is issued names every user, so no other source is needed; an empty list of them is still a mistake.
#[test]
fn issuing_a_cookie_is_identity_enough() {
    let issuing = |identity: &str| {
        rollout_with("\"identity\": [{\"header\": \"x-user-id\"}],", identity)
            .replace("\"onMissingIdentity\": \"stable\"", "\"onMissingIdentity\": \"issueCookie\"")
    };
    assert_eq!(problems(&issuing("")), [""; 0]);
    assert_eq!(
        problems(&issuing("\"identity\": [],")),
        ["rollouts[0].identity: is an empty list; say what names the user, as [{header: x-user-id}]"]
    );
}

#[test]
fn what_happens_without_an_identity() {
    assert_problem(
        "\"onMissingIdentity\": \"stable\"",
        "\"onMissingIdentity\": \"cookie\"",
        "rollouts[0].onMissingIdentity: \"cookie\" is not known; known here: stable, issueCookie",
    );
}

/// What is wrong with the cookie, or with the word that asks for it, is one problem, and what would follow from it is none.
#[test]
fn a_mistake_about_the_cookie_is_one_problem() {
    let issuing = |fields: &str| {
        problems(
            &rollout_with("\"identity\": [{\"header\": \"x-user-id\"}],", "")
                .replace("\"onMissingIdentity\": \"stable\"", fields),
        )
    };
    assert_eq!(
        issuing(r#""onMissingIdentity": "issueCookie", "cookie": {"secure": 1}"#),
        ["rollouts[0].cookie.secure: must be true or false, not the number 1"]
    );
    assert_eq!(
        issuing(r#""onMissingIdentity": "issuecookie", "cookie": {"name": "id"}"#),
        ["rollouts[0].onMissingIdentity: \"issuecookie\" is not known; did you mean \"issueCookie\"?"]
    );
}
