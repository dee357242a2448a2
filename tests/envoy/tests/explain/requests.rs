//! Random requests, most of them for a rollout of a policy.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use coalmine_core::policy::Rollout;
use coalmine_core::token::Secret;
use serde_json::Value;

use super::policies::RandomPolicy;
use super::words::{
    CONDITIONS, HOSTS, ISSUED, METHODS, PATHS, QUERY_USERS, SECRETS, USER_COOKIES, USER_HEADERS, USERS,
};
use coalmine_envoy_tests::random::Random;

const HOUR: i64 = 60 * 60;

/// A request as it is sent, and as it is written for the command.
#[derive(Clone, Debug)]
pub(crate) struct RandomRequest {
    /// Which of the connections it goes over.
    pub(crate) connection: usize,
    pub(crate) method: &'static str,
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) target: String,
    /// Whether it begins with the whole URL, as requests to a forward proxy do. HTTP/1.1 only.
    pub(crate) is_absolute: bool,
    /// What people would write for authority and target.
    pub(crate) url: String,
    /// The other headers, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// What stands around every value, and is not part of it. HTTP/1.1 only.
    pub(crate) blanks: &'static str,
    /// The address that the proxy believes it comes from, where that is not the connection's.
    pub(crate) forwarded_for: Option<IpAddr>,
}

/// The headers and the query of a request that is being made up.
struct Draft<'r> {
    random: &'r mut Random,
    now: SystemTime,
    headers: Vec<(String, String)>,
    /// Pairs of cookies, and what may stand in the place of one.
    cookies: Vec<String>,
    parameters: Vec<String>,
}

// === impl RandomRequest ===

impl RandomRequest {
    /// A request over one of so many connections. Its tokens are far from their end at this time.
    pub(crate) fn new(
        random: &mut Random,
        policy: &RandomPolicy,
        connections: usize,
        now: SystemTime,
    ) -> Result<Self> {
        let rollouts = policy.policy.rollouts();
        let place = random.below(rollouts.len());
        let (written, rollout) = (&policy.document["rollouts"][place], &rollouts[place]);
        let matching = &written["match"];
        let connection = random.below(connections);
        let authority = authority(random, &matching["hosts"]);
        let path = path(random, &matching["paths"]);
        let methods: Vec<&str> = texts(&matching["methods"]).collect();
        let is_wanted = |method: &&str| methods.is_empty() || methods.contains(method);
        let wanted: Vec<&'static str> = METHODS.into_iter().filter(is_wanted).collect();
        let method = if random.chance(10) { random.pick(&METHODS) } else { random.pick(&wanted) };
        let mut draft =
            Draft { random, now, headers: Vec::new(), cookies: Vec::new(), parameters: Vec::new() };
        for condition in items(&matching["headers"]) {
            draft.meet(condition);
        }
        for source in items(&written["identity"]) {
            draft.identify(source, written);
        }
        draft.come_back(written);
        draft.force(rollout, rollouts).context("a token")?;
        draft.forge(rollouts);
        draft.chatter();
        let forwarded_for = draft.forwarded_for();
        draft.put_cookies();
        let target = format!("{path}{}", draft.query());
        let headers = draft.headers;
        let url = url(random, &authority, &target);
        let blanks = random.pick(&["", "", "", "\t  "]);
        // Envoy answers 400 to a whole URL whose host has an underscore.
        let is_absolute = random.chance(15) && !authority.contains('_');
        Ok(Self { connection, method, authority, target, is_absolute, url, headers, blanks, forwarded_for })
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    items(list).filter_map(Value::as_str)
}

fn authority(random: &mut Random, hosts: &Value) -> String {
    let hosts: Vec<&str> = texts(hosts).collect();
    let host = if hosts.is_empty() || random.chance(10) { random.pick(&HOSTS) } else { random.pick(&hosts) };
    let mut host = match host.strip_prefix("*.") {
        Some(name) => format!("{}{name}", random.pick(&["www.", "a.b.", "X-1.", ""])),
        None => host.to_owned(),
    };
    match random.below(6) {
        0 => host.make_ascii_uppercase(),
        1 => host = host.replace("shop", "Shop").replace("2001:d", "2001:D"),
        _ => {}
    }
    if !host.ends_with(']') && random.chance(15) {
        host.push('.');
    }
    if random.chance(25) {
        host.push_str(random.pick(&[":80", ":8080", ":65535"]));
    }
    host
}

fn path(random: &mut Random, paths: &Value) -> String {
    let paths: Vec<&Value> = items(paths).collect();
    if paths.is_empty() || random.chance(10) {
        return random.pick(&PATHS).to_owned();
    }
    let path = random.pick(&paths);
    match path["prefix"].as_str() {
        Some(prefix) => format!("{prefix}{}", random.pick(&["", "x", "/7", "/../", "%2e%2e/", ";v=1", "//"])),
        None => path["exact"].as_str().unwrap_or("/").to_owned(),
    }
}

/// The URL as it is written: with a scheme or without one, and with a fragment, which no client sends.
fn url(random: &mut Random, authority: &str, target: &str) -> String {
    let scheme = random.pick(&["", "http://", "https://"]);
    let target = if target == "/" && random.chance(50) { "" } else { target };
    let fragment = random.pick(&["", "", "", "", "#top", "#?user=bob"]);
    format!("{scheme}{authority}{target}{fragment}")
}

// === impl Draft ===

impl Draft<'_> {
    fn header(&mut self, name: &str, value: &str) {
        let name = if self.random.chance(20) { name.to_ascii_uppercase() } else { name.to_owned() };
        self.headers.push((name, value.to_owned()));
    }

    /// The same header once more, before or behind the first one, now and then.
    fn repeat(&mut self, name: &str, values: &[&str]) {
        if self.random.chance(15) {
            let value = self.random.pick(values);
            let place = if self.random.chance(50) { 0 } else { self.headers.len() };
            self.headers.insert(place, (name.to_owned(), value.to_owned()));
        }
    }

    /// What a condition of the rollout asks for, mostly.
    fn meet(&mut self, condition: &Value) {
        let name = condition["name"].as_str().unwrap_or_default().to_ascii_lowercase();
        let values =
            CONDITIONS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, values)| values);
        let is_unwanted = condition["present"] == false;
        // A host is not sent as a header beside the authority.
        if name == "host" || values.is_empty() || is_unwanted != self.random.chance(15) {
            return;
        }
        let wanted = condition["exact"].as_str().or_else(|| condition["prefix"].as_str());
        let fitting: Vec<&str> =
            values.iter().copied().filter(|value| value.starts_with(wanted.unwrap_or_default())).collect();
        let value = self.random.pick(&fitting);
        self.header(&name, value);
        self.repeat(&name, &[values, &[""]].concat());
    }

    /// A user where the rollout looks for one, mostly.
    fn identify(&mut self, source: &Value, rollout: &Value) {
        if self.random.chance(30) {
            return;
        }
        let pinned: Vec<&str> =
            rollout["pins"].as_object().into_iter().flat_map(|pins| pins.values().flat_map(texts)).collect();
        let users: &[&str] = if !pinned.is_empty() && self.random.chance(30) { &pinned } else { &USERS };
        let user = if self.random.chance(10) { "" } else { self.random.pick(users) };
        if let Some(name) = source["header"].as_str() {
            self.header(name, user);
            self.repeat(name, &["", user, "mallory"]);
        } else if let Some(name) = source["cookie"].as_str() {
            self.cookies.push(format!("{name}={user}"));
        } else if let Some(name) = source["queryParameter"].as_str() {
            let user = self.random.pick(&[&QUERY_USERS[..], &[""]].concat());
            let equals = if user.is_empty() { self.random.pick(&["", "="]) } else { "=" };
            self.parameters.push(format!("{name}{equals}{user}"));
        }
    }

    /// The cookie that the rollout issues, or one that it could not have issued.
    fn come_back(&mut self, rollout: &Value) {
        if rollout["onMissingIdentity"] != "issueCookie" {
            return;
        }
        let name = rollout["cookie"]["name"].as_str().unwrap_or("coalmine-id");
        let value = match self.random.below(12) {
            0 => ISSUED.to_owned(),
            1 => self.random.hex(32),
            2 => self.random.hex(31),
            3 => ISSUED.to_ascii_uppercase(),
            4 => format!("\"{ISSUED}\""),
            5 => String::new(),
            _ => return,
        };
        self.cookies.push(format!("{name}={value}"));
    }

    /// A token for this rollout, good or not.
    fn force(&mut self, rollout: &Rollout, rollouts: &[Rollout]) -> Option<()> {
        let ways = [rollout.override_header(), rollout.override_cookie()];
        if ways == [None, None] || self.random.chance(50) {
            return Some(());
        }
        for (way, name) in ways.into_iter().enumerate() {
            let Some(name) = name.filter(|_| self.random.chance(75)) else { continue };
            let token = self.token(rollout, rollouts)?;
            if way == 0 {
                self.header(name, &token);
                self.repeat(name, &["", &token]);
            } else {
                self.cookies.push(format!("{name}={token}"));
            }
        }
        Some(())
    }

    fn token(&mut self, rollout: &Rollout, rollouts: &[Rollout]) -> Option<String> {
        let secrets: Vec<&Secret> = rollout.override_secrets().iter().collect();
        let variants: Vec<&str> = rollout.variants().map(|(_, name)| name).collect();
        let names: Vec<&str> = rollouts.iter().map(Rollout::name).collect();
        let secret = self.random.pick(&secrets);
        let (name, variant) = (rollout.name(), self.random.pick(&variants));
        Some(match self.random.below(14) {
            0 => secret.mint(name, variant, self.in_seconds(-HOUR)),
            1 => secret.mint(name, variant, self.in_seconds(25 * HOUR)),
            2 => secret.mint(self.random.pick(&names), variant, self.in_seconds(HOUR)),
            3 => secret.mint(name, "blue", self.in_seconds(HOUR)),
            4 => Secret::new(SECRETS[2].as_bytes())?.mint(name, variant, self.in_seconds(HOUR)),
            5 => secret.mint(&name.to_uppercase(), variant, self.in_seconds(HOUR)),
            6 => self.random.pick(&["", "v1", "v1.a.b.1", "canary", "\u{a0}"]).to_owned(),
            7 => format!("{}=", secret.mint(name, variant, self.in_seconds(HOUR))),
            _ => secret.mint(name, variant, self.in_seconds(23 * HOUR)),
        })
    }

    /// In so many seconds, since 1970.
    fn in_seconds(&self, seconds: i64) -> Duration {
        let now = self.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(now.as_secs().saturating_add_signed(seconds))
    }

    /// Headers that only Coalmine may set.
    fn forge(&mut self, rollouts: &[Rollout]) {
        for rollout in rollouts {
            if self.random.chance(10) {
                let value = self.random.pick(&["canary", "stable", "0", "99", "", "shop-canary"]);
                self.header(rollout.route().header(), value);
            }
        }
    }

    /// What has nothing to do with the rollout, or with another one.
    fn chatter(&mut self) {
        for (name, values) in CONDITIONS.iter().filter(|(name, _)| *name != "host") {
            if self.random.chance(8) {
                let value = self.random.pick(values);
                self.header(name, value);
            }
        }
        for name in USER_HEADERS {
            if self.random.chance(6) {
                let user = self.random.pick(&USERS);
                self.header(name, user);
            }
        }
        for pair in ["a=1", "theme=\"dark\"", "=", "flag", "", "force", "coalmine-override=", "sid =bob"] {
            if self.random.chance(6) {
                let place = self.random.below(self.cookies.len() + 1);
                self.cookies.insert(place, pair.to_owned());
            }
        }
        for name in USER_COOKIES {
            if self.random.chance(6) {
                let user = self.random.pick(&USERS);
                self.cookies.push(format!("{name}={user}"));
            }
        }
    }

    /// Another address than the connection's: the lab's proxy believes what it is told.
    fn forwarded_for(&mut self) -> Option<IpAddr> {
        let told: [(&[&str], Option<&'static str>); 6] = [
            (&["203.0.113.7"], Some("203.0.113.7")),
            (&["198.51.100.1, 127.0.0.2"], Some("127.0.0.2")),
            (&["198.51.100.1", "203.0.113.7"], Some("203.0.113.7")),
            (&["2001:db8::7"], Some("2001:db8::7")),
            (&["2001:DB8:0:0::7"], Some("2001:db8::7")),
            (&["nobody"], None),
        ];
        if self.random.chance(92) {
            return None;
        }
        let (values, address) = told[self.random.below(told.len())];
        for value in values {
            self.header("x-forwarded-for", value);
        }
        address.and_then(|address| address.parse().ok())
    }

    /// The cookies in one header, or in several.
    fn put_cookies(&mut self) {
        let cookies = std::mem::take(&mut self.cookies);
        let mut line: Option<String> = None;
        for pair in cookies {
            line = Some(match line {
                None => pair,
                Some(line) if self.random.chance(25) => {
                    self.header("cookie", line.trim());
                    pair
                }
                Some(line) => format!("{line}{}{pair}", self.random.pick(&["; ", "; ", ";", " ;\t"])),
            });
        }
        if let Some(line) = line {
            self.header("cookie", line.trim());
        }
    }

    fn query(&mut self) -> String {
        let noise =
            ["a=1", "q=%23x", "next=https://other.example/x?y", "", "=", "uid", "USER=bob", "user=mallory"];
        for parameter in noise {
            if self.random.chance(7) {
                let place = self.random.below(self.parameters.len() + 1);
                self.parameters.insert(place, parameter.to_owned());
            }
        }
        if self.parameters.is_empty() && self.random.chance(95) {
            return String::new();
        }
        format!("?{}", self.parameters.join("&"))
    }
}
