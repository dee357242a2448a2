//! Every problem at once.

use super::problems;

/// One document with every kind of error at once: a person mends it in one go.
#[test]
fn every_problem_is_told_at_once() {
    let document = r#"{"version": 2, "revision": 0, "revison": 1, "source": {}, "version": 1, "observe": {"accessLog": 1},
      "rollouts": [
        {"name": "none", "enabled": "yes", "salt": "a:b", "algorithm": "md5", "onMissingIdentity": "canary", "pins": {},
         "match": {"hosts": ["*", "UP", "a:1", 5], "paths": [{}, {"prefix": "x"}, {"exact": "/a?b"}], "methods": [],
                   "headers": [{"name": ":path", "exact": "x"}, {"exact": "x"}, {"name": "x-a"}, {"name": "x-a", "prefix": ""}]},
         "identity": [{"header": "authorization"}, {"header": ":path"}, {"cookie": "a b"}, {}, {"peer": true}],
         "variants": [{"name": "stable", "weight": 5}, {"name": "B", "weight": 105}, {"name": "c", "weight": 0.00001},
                      {"name": "c", "weight": "5"}, {"weight": 1}, {"name": "d"}],
         "route": {"header": "host"}},
        {"name": "two", "match": {}, "identity": [], "variants": [{"name": "a", "weight": 60}, {"name": "b", "weight": 60}],
         "route": {"header": "x-user"}},
        {"name": "two", "identity": [{"header": "x-user"}], "variants": [], "route": {"clusterHeader": {}}},
        7
      ]}"#;
    let told = problems(document);
    assert_eq!(told.len(), 46, "{}", told.join("\n"));
}
