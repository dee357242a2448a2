//! What is wrong with the sources of an identity and the cookie that is issued.

use super::assert_problem;

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
        "rollouts[0].identity[0].header: \"x user\" is no header name: 1 to 256 of A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~",
    );
}
