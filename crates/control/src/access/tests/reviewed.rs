//! Tokens and permissions that somebody else knows.

use async_trait::async_trait;

use super::*;

/// It knows `cluster-token`, of ada, who may read everything, and roll back in `shop`; or it does not answer.
#[derive(Debug)]
struct MadeUp {
    is_away: bool,
}

fn away<T>() -> Result<T, Denial> {
    Err(Denial::Away("it does not answer; try again".to_owned()))
}

#[async_trait]
impl Reviewer for MadeUp {
    async fn user(&self, token: &str) -> Result<User, Denial> {
        match token {
            "cluster-token" => Ok(User { name: "ada\n@acme".to_owned(), ..User::default() }),
            "away" => away(),
            _ => Err(Denial::Invalid("nobody has this token".to_owned())),
        }
    }

    async fn allows(&self, user: &User, word: &str, pattern: &Pattern) -> Result<bool, Denial> {
        assert!(user.name.starts_with("ada"));
        if self.is_away {
            return away();
        }
        let shop = Pattern::Namespace("shop".to_owned());
        Ok(word == "get" || word == "rollback" && shop.covers(pattern))
    }
}

fn tokens(is_away: bool) -> Tokens {
    let own = vec![Token::new("admin", "admin-0123456789", May::Write, vec![Pattern::Every])];
    Tokens::new(own).with_reviewer(Arc::new(MadeUp { is_away }))
}

#[tokio::test]
async fn permissions_are_what_the_reviewer_says_verb_by_verb() {
    let ada = tokens(false).caller(Some("cluster-token"), 0).await.unwrap();
    assert_eq!(ada.name(), "ada\u{fffd}@acme");
    assert!(may(&ada, May::Read, "*").await && !may(&ada, May::Operate, "shop/checkout").await);
    let says =
        async |verb: &str, name: &str| ada.may(Deed::say(verb), &[name.parse().unwrap()]).await.unwrap();
    assert!(says("rollback", "shop/checkout").await && !says("rollback", "bank/payments").await);
    assert!(!says("promote", "shop/checkout").await && !says("get", "shop/checkout").await);
    assert_eq!(ada.may(Deed::DELETE, &["shop/checkout".parse().unwrap()]).await, Ok(false));
}

#[tokio::test]
async fn tokens_of_the_servers_own_are_taken_beside() {
    let admin = tokens(true).caller(Some("admin-0123456789"), 0).await.unwrap();
    assert!(may(&admin, May::Write, "*").await);
    assert_eq!(tokens(false).caller(None, 0).await.unwrap_err(), Denial::Missing);
    let unknown = tokens(false).caller(Some("another"), 0).await.unwrap_err();
    assert_eq!(unknown, Denial::Invalid("nobody has this token".to_owned()));
    let alone = Tokens::new(Vec::new()).with_reviewer(Arc::new(MadeUp { is_away: false }));
    assert_eq!(alone.caller(None, 0).await.unwrap_err(), Denial::Missing, "nobody is let in without");
}

#[tokio::test]
async fn what_cannot_be_known_is_refused() {
    assert!(matches!(tokens(true).caller(Some("away"), 0).await, Err(Denial::Away(_))));
    let ada = tokens(true).caller(Some("cluster-token"), 0).await.unwrap();
    assert!(matches!(ada.may(May::Read, &[Pattern::Every]).await, Err(Denial::Away(_))));
}

#[tokio::test]
async fn a_token_of_an_issuer_that_is_known_here_is_nobody_elses() {
    let signer = Signer::ed25519("a");
    let tokens = trusting(&[&signer], &[rule(ISSUER, KeySource::Discovered)]);
    let tokens = tokens.with_reviewer(Arc::new(MadeUp { is_away: false }));
    let mut expired = claims();
    assert!(tokens.caller(Some(&signer.token(&expired)), NOW).await.is_ok());
    expired["exp"] = (NOW - 120).into();
    let why = tokens.caller(Some(&signer.token(&expired)), NOW).await.unwrap_err();
    assert!(why.to_string().contains("expired"), "{why}");
    expired["iss"] = "https://kubernetes.default.svc".into();
    let why = tokens.caller(Some(&signer.token(&expired)), NOW).await.unwrap_err();
    assert_eq!(why.to_string(), "nobody has this token");
}
