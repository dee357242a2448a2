//! What is wrong with a `match`.

use super::assert_problem;

#[test]
fn a_match() {
    let host = |host: &str, why: &str| {
        assert_problem(
            "\"hosts\": [\"checkout\"]",
            &format!("\"hosts\": [\"{host}\"]"),
            &format!("rollouts[0].match.hosts[0]: \"{host}\" is not a valid host: {why}"),
        );
    };
    host("*", "leave out \"hosts\" to match every host");
    host("Checkout", "write it in lower case; requests are compared in lower case");
    host("checkout:80", "leave out the port; it is taken off the request before the comparison");
    host("checkout.", "leave out the final dot; it is taken off the request before the comparison");
    let alone = "write the host alone, without scheme, user, port and path";
    for url in ["http://shop.example", "https://shop.example:80/cart", "shop.example/", "me@shop.example"] {
        host(url, alone);
    }
    host("münchen.example", "write it as requests have it, in its ASCII form: xn--..");
    for address in ["::1", "2001:db8::7", "::ffff:192.0.2.1"] {
        host(address, "write an IPv6 address in brackets, as [::1]");
    }
    host("[::1]:80", "leave out the port; it is taken off the request before the comparison");
    host("a*b", "1 to 253 of a-z, 0-9, '-', '_' and single dots, \"*.\" at most in front");
    host("", "1 to 253 of a-z, 0-9, '-', '_' and single dots, \"*.\" at most in front");
    host("a..b", "1 to 253 of a-z, 0-9, '-', '_' and single dots, \"*.\" at most in front");
    assert_problem(
        "[\"checkout\"]",
        "[]",
        "rollouts[0].match.hosts: is an empty list; leave it out to match everything",
    );
    assert_problem(
        "[{\"prefix\": \"/api/\"}]",
        "[{}]",
        "rollouts[0].match.paths[0]: needs one condition: exact or prefix",
    );
    assert_problem("\"/api/\"", "\"api/\"", "rollouts[0].match.paths[0].prefix: \"api/\" must begin with /");
    assert_problem(
        "\"/api/\"",
        "\"/api?x\"",
        "rollouts[0].match.paths[0].prefix: \"/api?x\" can never match: a path ends before ? and #",
    );
    assert_problem(
        "[\"GET\"]",
        "[\"get\"]",
        "rollouts[0].match.methods[0]: \"get\" is not a valid method: 1 to 256 of A-Z, 0-9 and !#$%&'*+-.^_`|~, in upper case, as GET",
    );
    assert_problem(
        ", \"exact\": \"eu\"",
        "",
        "rollouts[0].match.headers[0]: needs one condition: exact, prefix or present",
    );
    assert_problem(
        "\"exact\": \"eu\"",
        "\"prefix\": \"\"",
        "rollouts[0].match.headers[0].prefix: is empty; \"present: true\" matches any value",
    );
    assert_problem(
        "\"x-region\"",
        "\":path\"",
        "rollouts[0].match.headers[0].name: \":path\" is a pseudo-header; name an ordinary header",
    );
}
