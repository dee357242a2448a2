//! The words that policies and requests are made of: few, so that the two meet.

/// Users. Every one can be sent as a header and as the value of a cookie.
pub(crate) const USERS: [&str; 18] = [
    "alice",
    "bob",
    "carol",
    "user-000017",
    "1000042",
    "u3@shop.example",
    "9e3779b9-0000-4003-8007-000000000003",
    "Älice",
    "李雷",
    "\u{a0}blank\u{3000}",
    "a,b",
    "alice,bob",
    "a=b",
    "\"quoted\"",
    "two words",
    "tab\tin it",
    "urn:user:7",
    ISSUED,
];

/// Users as they can be sent in a query.
pub(crate) const QUERY_USERS: [&str; 6] =
    ["alice", "bob", "%C3%84lice", "a+b", "a=b", "https://id.example/bob"];

/// An identity that Coalmine could have issued.
pub(crate) const ISSUED: &str = "00112233445566778899aabbccddeeff";

/// Hosts that requests are for, and hosts of a policy.
pub(crate) const HOSTS: [&str; 7] = [
    "shop.example",
    "www.shop.example",
    "a.b.shop.example",
    "checkout",
    "checkout.shop.svc.cluster.local",
    "my_host.other.test",
    "[2001:db8::1]",
];

/// Wildcards, some below others.
pub(crate) const WILDCARDS: [&str; 5] =
    ["*.shop.example", "*.b.shop.example", "*.example", "*.svc.cluster.local", "*.test"];

/// Paths, and beginnings of paths.
pub(crate) const PATHS: [&str; 8] =
    ["/", "/cart", "/Cart", "/api/", "/api/v1", "/api/v1/items", "/a%2Fb", "/;x"];

/// Methods.
pub(crate) const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"];

/// Headers that a rollout looks at, with values that they have. About two of them Envoy has its own mind: `host` is the
/// authority, and several `user-agent` are one.
pub(crate) const CONDITIONS: [(&str, [&str; 3]); 5] = [
    ("x-region", ["eu", "eu-west", "us"]),
    ("x-staff", ["1", "yes", "\u{a0}1"]),
    ("user-agent", ["Shop/1", "Shop/1.2 (X; Y)", "curl/8.5.0"]),
    ("accept-language", ["de", "de-AT, de;q=0.9", "en"]),
    ("host", ["shop.example", "checkout", "www.shop.example:8080"]),
];

/// Headers that name a user.
pub(crate) const USER_HEADERS: [&str; 4] = ["x-user-id", "X-Account", "x-tenant", "x_user.id~"];
/// Cookies that name a user.
pub(crate) const USER_COOKIES: [&str; 4] = ["sid", "SID", "session", "__Host-sid"];
/// Parameters that name a user.
pub(crate) const USER_PARAMETERS: [&str; 3] = ["user", "uid", "u[id]"];

/// Headers that tell the router: whatever a route says, it says it under one of these names.
pub(crate) const ROUTE_HEADERS: [&str; 4] =
    ["x-coalmine-variant", "x-coalmine-cluster", "x-coalmine-bucket", "X-Route"];
/// Headers that tokens come in.
pub(crate) const TOKEN_HEADERS: [&str; 2] = ["x-coalmine-override", "X-Force"];
/// Cookies that tokens come in.
pub(crate) const TOKEN_COOKIES: [&str; 2] = ["coalmine-override", "force"];
/// What tokens are signed with; the last one is in no policy.
pub(crate) const SECRETS: [&str; 3] = [
    "a-secret-of-the-tests-0123456789abcdef",
    "the-secret-before-it-0123456789abcdef",
    "a-secret-of-somebody-else-0123456789",
];
